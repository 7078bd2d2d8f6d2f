package quota

import (
	"container/list"
	"context"
	"sync/atomic"
)

// Share is one partition's part of a quota. How much it may hold depends on
// what the others have left: at most twice what is free. So a share that never
// gives anything back leaves a third of what it found, k of them that grow
// together one part in 2k+1, and another that holds little finds room. A share that holds nothing may take whatever is free, and the only
// share of a quota everything.
type Share struct {
	quota   *Quota
	used    atomic.Uint64 // a word
	waiting atomic.Int64

	// Guarded by quota.mu.
	queue list.List     // of *waiter, oldest first
	place *list.Element // in quota.mu.queue while there are waiters
}

type waiter struct {
	need  uint64
	place *list.Element // nil once it was served
	ready chan struct{}
	err   error // written before ready is closed
}

// perFree is how many times what is free a share may hold.
const perFree = 2

// NewShare makes a share that holds nothing.
func (q *Quota) NewShare() *Share {
	q.shares.Add(1)
	return &Share{quota: q}
}

// Used returns the records and bytes that the share holds.
func (s *Share) Used() (records, bytes int) { return unpack(s.used.Load()) }

// mayHave tells whether the share may hold need more when then so much of the
// quota is in use. Records that come at the very same time may all be let in.
func (s *Share) mayHave(need, used uint64) bool {
	mine := s.used.Load()
	if mine == 0 || s.quota.shares.Load() == 1 {
		return true
	}
	mine += need
	freeRecords, freeBytes := s.quota.records-used>>byteBits, s.quota.bytes-used&byteMask
	return mine>>byteBits <= perFree*freeRecords && mine&byteMask <= perFree*freeBytes
}

// TryAcquire takes room for one record of that many bytes if there is any and
// nobody is to have it first.
func (s *Share) TryAcquire(bytes int) bool {
	q := s.quota
	if q.waiting.Load() > 0 && (s.waiting.Load() > 0 || q.starved.Load()) {
		return false
	}
	return q.take(s, word(1, bytes)) == taken
}

// Acquire takes room for one record of that many bytes. It waits for it, in
// the order of arrival within the share, until ctx is done or the quota is
// closed, and then returns the cause.
func (s *Share) Acquire(ctx context.Context, bytes int) error {
	if s.TryAcquire(bytes) {
		return nil
	}
	w, err := s.enqueue(word(1, bytes))
	if err != nil {
		return err
	}
	select {
	case <-w.ready:
		return w.err
	case <-ctx.Done():
		return s.leave(ctx, w)
	}
}

// Release gives room back.
func (s *Share) Release(records, bytes int) {
	q, free := s.quota, word(records, bytes)
	s.used.Add(-free)
	q.used.Add(-free)
	// A waiter raises waiting before it looks at used for the last time, and
	// here the order is the other way round: one of the two sees the other.
	if q.waiting.Load() > 0 {
		q.mu.Lock()
		q.grantLocked()
		q.mu.Unlock()
	}
}

func (s *Share) first() *waiter { return s.queue.Front().Value.(*waiter) }

// enqueue returns a waiter that may have been served already.
func (s *Share) enqueue(need uint64) (*waiter, error) {
	q := s.quota
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed != nil {
		return nil, q.mu.closed
	}
	w := &waiter{need: need, ready: make(chan struct{})}
	w.place = s.queue.PushBack(w)
	q.waiting.Add(1)
	if s.waiting.Add(1) == 1 {
		s.place = q.mu.queue.PushBack(s)
	}
	q.grantLocked()
	return w, nil
}

func (s *Share) leave(ctx context.Context, w *waiter) error {
	q := s.quota
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.place == nil {
		return w.err // it was served, or closed, just before
	}
	q.removeLocked(s, w)
	q.grantLocked() // those behind it may fit
	return context.Cause(ctx)
}
