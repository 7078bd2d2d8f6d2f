package reader

import (
	"context"
	"errors"
	"sync"
)

// ReadAll reads the ranges, at most workers of them at once, each into the
// visitor that open returns for it; workers is 1 or more. Ranges that follow
// never end, so that workers must be enough for all of them. It returns when
// all are read, a visitor returned ErrStop, or one failed; then every range's
// visitor has been paused a last time, so that nothing that was visited is
// lost.
func (r *Reader) ReadAll(ctx context.Context, ranges []Range, workers int, open func(Range) Visitor) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan Range, len(ranges))
	for _, span := range ranges {
		queue <- span
	}
	close(queue)
	var wg sync.WaitGroup
	for range min(workers, len(ranges)) {
		wg.Go(func() {
			for span := range queue {
				if err := r.readOne(ctx, span, open(span)); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, ErrStop) {
		return err
	}
	return nil
}

// readOne pauses the visitor after a failure, too: what it holds was read.
func (r *Reader) readOne(ctx context.Context, span Range, v Visitor) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := r.Read(ctx, span, v)
	if err == nil {
		return nil
	}
	if paused := v.Pause(); paused != nil && errors.Is(err, ErrStop) {
		return paused
	}
	return err
}
