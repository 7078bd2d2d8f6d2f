// Package quota bounds what a producer holds, by records and by bytes.
package quota

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
)

// Records and bytes in use are counted in one word, so that a record is
// admitted by one atomic operation: records above, bytes in the lower 40 bits.
const (
	byteBits = 40
	byteMask = 1<<byteBits - 1

	// MaxRecords and MaxBytes are the largest limits that New takes. Twice
	// their value still fits its half of the word.
	MaxRecords = 1<<(64-byteBits-1) - 1
	MaxBytes   = 1<<(byteBits-1) - 1
)

// Quota hands out room and takes it back. It is safe for concurrent use.
type Quota struct {
	records, bytes uint64

	used atomic.Uint64
	// waiting is the number of waiters. While it is not zero, newcomers queue
	// up behind them: nobody starves.
	waiting atomic.Int64

	mu struct {
		sync.Mutex
		queue  list.List // of *waiter, oldest first
		closed error
	}
}

type waiter struct {
	need  uint64
	place *list.Element // nil once it was served
	ready chan struct{}
	err   error // written before ready is closed
}

// New makes a quota of so many records and bytes.
func New(records, bytes int) *Quota {
	return &Quota{records: uint64(records), bytes: uint64(bytes)}
}

func word(records, bytes int) uint64 { return uint64(records)<<byteBits | uint64(bytes) }

// Used returns the records and bytes in use.
func (q *Quota) Used() (records, bytes int) {
	used := q.used.Load()
	return int(used >> byteBits), int(used & byteMask)
}

// TryAcquire takes room for one record of that many bytes if there is any and
// nobody waits for it.
func (q *Quota) TryAcquire(bytes int) bool {
	return q.waiting.Load() == 0 && q.take(word(1, bytes))
}

// Acquire takes room for one record of that many bytes. It waits for it, in
// the order of arrival, until ctx is done or Close is called, and then returns
// the cause.
func (q *Quota) Acquire(ctx context.Context, bytes int) error {
	if q.TryAcquire(bytes) {
		return nil
	}
	w, err := q.enqueue(word(1, bytes))
	if err != nil {
		return err
	}
	select {
	case <-w.ready:
		return w.err
	case <-ctx.Done():
		return q.leave(ctx, w)
	}
}

// Release gives room back.
func (q *Quota) Release(records, bytes int) {
	q.used.Add(-word(records, bytes))
	// A waiter raises waiting before it looks at used for the last time, and
	// here the order is the other way round: one of the two sees the other.
	if q.waiting.Load() > 0 {
		q.mu.Lock()
		q.grantLocked()
		q.mu.Unlock()
	}
}

// Close makes every waiter, and whoever would have to wait from now on, return
// err.
func (q *Quota) Close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.closed = err
	for first := q.mu.queue.Front(); first != nil; first = q.mu.queue.Front() {
		q.serveLocked(first.Value.(*waiter), err)
	}
}

// take is exact: it never takes room for a moment that it then gives back, so
// that no other can fail because of one that fails.
func (q *Quota) take(need uint64) bool {
	for {
		used := q.used.Load()
		after := used + need
		if after>>byteBits > q.records || after&byteMask > q.bytes {
			return false
		}
		if q.used.CompareAndSwap(used, after) {
			return true
		}
	}
}

// enqueue returns a waiter that may have been served already.
func (q *Quota) enqueue(need uint64) (*waiter, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed != nil {
		return nil, q.mu.closed
	}
	q.waiting.Add(1)
	w := &waiter{need: need, ready: make(chan struct{})}
	w.place = q.mu.queue.PushBack(w)
	q.grantLocked()
	return w, nil
}

// grantLocked serves waiters in order. A large record at the front is waited
// for: smaller ones behind it would otherwise keep it out for ever.
func (q *Quota) grantLocked() {
	for first := q.mu.queue.Front(); first != nil; first = q.mu.queue.Front() {
		w := first.Value.(*waiter)
		if !q.take(w.need) {
			return
		}
		q.serveLocked(w, nil)
	}
}

func (q *Quota) serveLocked(w *waiter, err error) {
	q.mu.queue.Remove(w.place)
	q.waiting.Add(-1)
	w.place, w.err = nil, err
	close(w.ready) // never blocks
}

func (q *Quota) leave(ctx context.Context, w *waiter) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.place == nil {
		return w.err // it was served, or closed, just before
	}
	q.mu.queue.Remove(w.place)
	q.waiting.Add(-1)
	q.grantLocked() // those behind it may fit
	return context.Cause(ctx)
}
