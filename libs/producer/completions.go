package producer

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/streamhouse/streamhouse/libs/producer/internal/fifo"
)

// completion is one thing for the deliverer to do.
type completion struct {
	batch *recordBatch // resolved

	flush *flushWait // or: tell it that everything before was delivered
}

// completions is the queue of the deliverer, the one goroutine that calls
// callbacks. So they are called one at a time, and those of a partition in the
// order in which its records were sent. It never holds more than the quota
// lets in, for room is given back here.
type completions struct {
	wake chan struct{} // capacity 1
	mu   struct {
		sync.Mutex
		queue   fifo.Queue[completion]
		stopped bool
	}
}

func newCompletions() *completions { return &completions{wake: make(chan struct{}, 1)} }

// push adds c, and returns false if the deliverer is gone. It never blocks.
func (q *completions) push(c completion) bool {
	q.mu.Lock()
	if q.mu.stopped {
		q.mu.Unlock()
		return false
	}
	q.mu.queue.Push(c)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// pop returns false when there is nothing to do. With stop set there never
// will be from then on.
func (q *completions) pop(stop bool) (completion, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.queue.Len() == 0 {
		q.mu.stopped = stop
		return completion{}, false
	}
	return q.mu.queue.Pop(), true
}

// runDeliverer runs until ctx is done and everything was delivered.
func (p *Producer) runDeliverer(ctx context.Context) {
	for {
		stop := ctx.Err() != nil
		for c, ok := p.done.pop(stop); ok; c, ok = p.done.pop(stop) {
			p.complete(c)
		}
		if stop {
			return
		}
		select {
		case <-p.done.wake:
		case <-ctx.Done():
		}
	}
}

func (p *Producer) complete(c completion) {
	switch {
	case c.batch != nil:
		p.deliver(c.batch)
	case c.flush != nil:
		c.flush.release()
	}
}

// deliver calls a batch's callbacks. Room is given back before them, so that a
// callback that sends finds some.
func (p *Producer) deliver(b *recordBatch) {
	b.part.share.Release(len(b.callbacks), b.bytes)
	for _, h := range p.cfg.hooks.done {
		h.OnBatchDone(b.doneEvent())
	}
	ack := Ack{Topic: b.part.topic.name, Partition: b.part.index}
	if b.err != nil {
		p.reportFailure(b)
		for _, done := range b.callbacks {
			if done != nil {
				done(ack, b.err)
			}
		}
	} else {
		for i, done := range b.callbacks {
			if done != nil {
				ack.Offset = b.base + uint64(i)
				done(ack, nil)
			}
		}
	}
	for _, w := range b.flushes {
		w.release()
	}
	if b.reusable() {
		p.pool.put(b)
	}
}

func (p *Producer) reportFailure(b *recordBatch) {
	if b.async {
		p.failures.note(b.err)
	}
	p.logFailure(b)
}

// failures remembers what Flush and Close have to report. Failures of Send are
// not among them: its caller was told.
type failures struct {
	mu struct {
		sync.Mutex
		first error // of all
		fresh error // the first since the last Flush
	}
}

func (f *failures) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.first == nil {
		f.mu.first = err
	}
	if f.mu.fresh == nil {
		f.mu.fresh = err
	}
}

// take returns the first failure since it was called last.
func (f *failures) take() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.mu.fresh
	f.mu.fresh = nil
	return err
}

// all returns the first failure of all.
func (f *failures) all() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.first
}

// flushWait waits for batches of many partitions. It starts with one share,
// its creator's, so that it cannot be done before all were added.
type flushWait struct {
	left atomic.Int64
	done chan struct{}
}

func newFlushWait() *flushWait {
	w := &flushWait{done: make(chan struct{})}
	w.left.Store(1)
	return w
}

func (w *flushWait) add() { w.left.Add(1) }

func (w *flushWait) release() {
	if w.left.Add(-1) == 0 {
		close(w.done)
	}
}
