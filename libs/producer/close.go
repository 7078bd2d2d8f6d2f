package producer

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Flush sends all partial batches at once and waits until every record that
// was sent before is resolved and its callback has returned. It returns the
// first failure of a record sent with SendAsync since the last Flush, if any;
// that is an *Error. When ctx ends first, it returns why, and the records stay
// on their way.
func (p *Producer) Flush(ctx context.Context) error {
	if p.closing.begun.Load() {
		return fmt.Errorf("flush: %w", ErrClosed)
	}
	w := p.flushAll(nil)
	select {
	case <-w.done:
	case <-ctx.Done():
		records, _ := p.quota.Used()
		return fmt.Errorf("flush: %d records are still on their way: %w", records, context.Cause(ctx))
	}
	return p.failures.take()
}

// flushAll returns what waits for everything that was sent so far. With refuse
// set, nothing more is taken.
func (p *Producer) flushAll(refuse error) *flushWait {
	w := newFlushWait()
	w.add()
	if !p.done.push(completion{flush: w}) { // callbacks of what left its partition already
		w.release()
	}
	for _, t := range p.topics.all(refuse != nil) {
		for _, pt := range *t.partitions.Load() {
			pt.flush(w, refuse)
		}
	}
	w.release()
	return w
}

// closing is how far Close has come.
type closing struct {
	begun atomic.Bool
	done  chan struct{}
	err   error // once done
}

// Close takes no more records, flushes, and ends the producer. It returns nil
// only if every record that SendAsync ever took is in the log, else the first
// failure, also if a Flush has returned that already. Records that are not
// resolved when ctx ends fail with ErrClosed. Close returns after the last
// callback and the last goroutine; calling it again returns the same.
func (p *Producer) Close(ctx context.Context) error {
	if p.closing.begun.Swap(true) {
		select {
		case <-p.closing.done:
			return p.closing.err
		case <-ctx.Done():
			return fmt.Errorf("close: %w", context.Cause(ctx))
		}
	}
	defer close(p.closing.done)
	p.closing.err = p.shutDown(ctx)
	for _, h := range p.cfg.hooks.closed {
		h.OnClose(p)
	}
	return p.closing.err
}

func (p *Producer) shutDown(ctx context.Context) error {
	var late error
	p.quota.Close(ErrClosed)
	w := p.flushAll(ErrClosed)
	select {
	case <-w.done:
	case <-ctx.Done():
		late = fmt.Errorf("%w before the record was resolved: %w", ErrClosed, context.Cause(ctx))
		p.abandon(late)
		<-w.done
	}
	p.cancel(ErrClosed)
	p.wg.Wait()
	p.eachPartition((*partition).stopTimer)
	p.conns.CloseAll()
	if err := p.failures.all(); err != nil {
		return err
	}
	return late
}

// abandon fails everything that is on its way.
func (p *Producer) abandon(err error) {
	p.eachPartition(func(pt *partition) { pt.abandon(err) })
}

// eachPartition goes through all that may have batches; there will be no more.
func (p *Producer) eachPartition(f func(*partition)) {
	for _, t := range p.topics.all(true) {
		for _, pt := range *t.partitions.Load() {
			f(pt)
		}
	}
}
