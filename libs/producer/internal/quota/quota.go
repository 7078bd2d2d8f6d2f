// Package quota bounds what a producer holds, by records and by bytes, and
// divides it among partitions.
package quota

import (
	"container/list"
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

// Quota hands out room and takes it back, by way of its shares. It is safe for
// concurrent use.
type Quota struct {
	records, bytes uint64
	// While no more than this is in use, no share can hold too much.
	easyRecords, easyBytes uint64

	used   atomic.Uint64
	shares atomic.Int64 // how many were made
	// waiting is the number of waiters of all shares.
	waiting atomic.Int64
	// starved: some share that may have more waits until there is any room.
	// Newcomers then queue up behind: nobody starves.
	starved atomic.Bool

	mu struct {
		sync.Mutex
		queue  list.List // of *Share that have waiters, in turn
		closed error
	}
}

// New makes a quota of so many records and bytes.
func New(records, bytes int) *Quota {
	q := &Quota{records: uint64(records), bytes: uint64(bytes)}
	// Whoever holds all that is in use holds perFree times what is free.
	q.easyRecords, q.easyBytes = q.records*perFree/(perFree+1), q.bytes*perFree/(perFree+1)
	return q
}

func word(records, bytes int) uint64 { return uint64(records)<<byteBits | uint64(bytes) }

func unpack(word uint64) (records, bytes int) { return int(word >> byteBits), int(word & byteMask) }

// Used returns the records and bytes in use.
func (q *Quota) Used() (records, bytes int) { return unpack(q.used.Load()) }

// Waiting returns how many records wait for room.
func (q *Quota) Waiting() int { return int(q.waiting.Load()) }

// Close makes every waiter, and whoever would have to wait from now on, return
// err.
func (q *Quota) Close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.closed = err
	for q.mu.queue.Len() > 0 {
		q.serveLocked(q.mu.queue.Front().Value.(*Share), err)
	}
}

// verdict is whether room was taken, and if not, why.
type verdict uint8

const (
	taken     verdict = iota
	noRoom            // in the quota
	overShare         // the share holds too much of it
)

// take is exact: it never takes room for a moment that it then gives back, so
// that no other can fail because of one that fails.
func (q *Quota) take(s *Share, need uint64) verdict {
	for {
		used := q.used.Load()
		after := used + need
		if after>>byteBits > q.easyRecords || after&byteMask > q.easyBytes {
			if after>>byteBits > q.records || after&byteMask > q.bytes {
				return noRoom
			}
			if !s.mayHave(need, after) {
				return overShare
			}
		}
		if q.used.CompareAndSwap(used, after) {
			s.used.Add(need)
			return taken
		}
	}
}

// grantLocked serves the shares' waiters in turn, as far as there is room. A
// large record is waited for: smaller ones behind it would otherwise keep it
// out for ever. A share that holds too much is passed over.
func (q *Quota) grantLocked() {
	q.starved.Store(false)
	for passed := 0; passed < q.mu.queue.Len(); {
		place := q.mu.queue.Front()
		s := place.Value.(*Share)
		v := q.take(s, s.first().need)
		if v == noRoom {
			q.starved.Store(true)
			return
		}
		q.mu.queue.MoveToBack(place)
		if v == taken {
			q.serveLocked(s, nil)
			passed = 0
		} else {
			passed++
		}
	}
}

// serveLocked ends the wait of a share's first waiter.
func (q *Quota) serveLocked(s *Share, err error) {
	w := s.first()
	w.err = err
	q.removeLocked(s, w)
	close(w.ready) // never blocks
}

func (q *Quota) removeLocked(s *Share, w *waiter) {
	s.queue.Remove(w.place)
	w.place = nil
	q.waiting.Add(-1)
	if s.waiting.Add(-1) == 0 {
		q.mu.queue.Remove(s.place)
		s.place = nil
	}
}
