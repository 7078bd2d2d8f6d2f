// Package producers recognises producers' retries. For one partition it
// remembers, per producer, the last batches by sequence and checksum, so that
// a batch that was appended, or is about to be, is never appended again.
//
// It is pure: time is passed in, and its user holds the lock.
package producers

import (
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// Window is how many of a producer's last batches are remembered, and also how
// many it may have in flight, so that none that is in flight can be forgotten.
const Window = 128

// MinAge is how long a producer is remembered at least after its last batch:
// far longer than any delivery timeout.
const MinAge = 24 * time.Hour

// Batch identifies one batch of one producer in one partition.
type Batch struct {
	Producer uint64
	Sequence uint64
	// CRC is the batch's checksum: a retry sends identical bytes.
	CRC uint32
	// Records is how many offsets the batch takes.
	Records uint32
}

// State is what an owner knows of a partition's producers. F is the owner's
// handle for a batch in flight. The zero value knows nobody.
type State[F any] struct {
	producers map[uint64]*producer[F]
}

// producer remembers the sequences from lo to next-1; those below done are
// committed, the others in flight. Slot i of the ring holds the sequences that
// equal i modulo its length, a power of two.
type producer[F any] struct {
	lo, done, next uint64
	ring           []slot[F]
	touched        time.Time
}

type slot[F any] struct {
	crc     uint32
	records uint32
	base    uint64 // once committed
	flight  F      // until committed
}

// Verdict says what a batch that came in is.
type Verdict uint8

const (
	// New: append it, and call Begin.
	New Verdict = iota
	// Duplicate: it was committed, at the offset returned with the verdict.
	Duplicate
	// InFlight: it waits to be committed; its handle is returned.
	InFlight
)

// Check judges a batch. An error is one of the contract's refusals.
func (s *State[F]) Check(b Batch) (v Verdict, base uint64, flight F, err error) {
	p := s.producers[b.Producer]
	switch {
	case p == nil && b.Sequence == 0:
		return New, 0, flight, nil
	case p == nil:
		return 0, 0, flight, reason.New(reason.UnknownProducer,
			"producer %d is not known here, and sequence %d is not its first: go on under a fresh producer id", b.Producer, b.Sequence)
	case b.Sequence > p.next:
		return 0, 0, flight, reason.New(reason.SequenceGap,
			"sequence %d of producer %d: expected %d", b.Sequence, b.Producer, p.next)
	case b.Sequence == p.next:
		if p.next-p.done >= Window {
			return 0, 0, flight, reason.New(reason.Overloaded,
				"producer %d has %d batches in flight: wait for answers", b.Producer, Window).After(overloadDelay)
		}
		return New, 0, flight, nil
	case b.Sequence < p.lo:
		return 0, 0, flight, reason.New(reason.SequenceTooOld,
			"sequence %d of producer %d is older than the last %d batches", b.Sequence, b.Producer, Window)
	}
	return p.judge(b)
}

// overloadDelay is what a producer with a full window is asked to wait: about
// as long as a flush takes.
const overloadDelay = 50 * time.Millisecond

// judge looks at a batch whose sequence is remembered.
func (p *producer[F]) judge(b Batch) (v Verdict, base uint64, flight F, err error) {
	sl := p.slot(b.Sequence)
	switch {
	case sl.crc != b.CRC || sl.records != b.Records:
		return 0, 0, flight, reason.New(reason.SequenceConflict,
			"sequence %d of producer %d was used for other content: two processes share one producer id", b.Sequence, b.Producer)
	case b.Sequence < p.done:
		return Duplicate, sl.base, flight, nil
	default:
		return InFlight, 0, sl.flight, nil
	}
}

func (p *producer[F]) slot(seq uint64) *slot[F] {
	return &p.ring[seq&uint64(len(p.ring)-1)]
}

// Begin notes a New batch as in flight.
func (s *State[F]) Begin(b Batch, flight F, now time.Time) {
	p := s.producers[b.Producer]
	if p == nil {
		p = s.add(b.Producer, b.Sequence)
	}
	p.push(slot[F]{crc: b.CRC, records: b.Records, flight: flight}, now)
}

func (s *State[F]) add(id, first uint64) *producer[F] {
	if s.producers == nil {
		s.producers = map[uint64]*producer[F]{}
	}
	p := &producer[F]{lo: first, done: first, next: first}
	s.producers[id] = p
	return p
}

// push takes the next sequence. Once the window is full, the oldest batch is
// forgotten; it is committed, since Check lets no more than Window be in flight.
func (p *producer[F]) push(sl slot[F], now time.Time) {
	if n := p.next - p.lo; n == uint64(len(p.ring)) {
		if n == Window {
			p.lo++
		} else {
			p.grow()
		}
	}
	*p.slot(p.next) = sl
	p.next++
	p.touched = now
}

func (p *producer[F]) grow() {
	old := *p
	p.ring = make([]slot[F], max(2, 2*len(p.ring)))
	for seq := old.lo; seq < old.next; seq++ {
		*p.slot(seq) = *old.slot(seq)
	}
}

// Commit notes that a producer's oldest batch in flight was committed at base.
// Commits go in order, so no other can be meant.
func (s *State[F]) Commit(id, base uint64, now time.Time) {
	p := s.producers[id]
	if p == nil || p.done == p.next {
		return
	}
	sl := p.slot(p.done)
	var none F
	sl.base, sl.flight = base, none
	p.done++
	p.touched = now
}

// Restore notes a batch that an earlier owner committed, read from a footer.
// Batches come in the order of their offsets; what is known already is passed
// over.
func (s *State[F]) Restore(b Batch, base uint64, now time.Time) {
	p := s.producers[b.Producer]
	if p != nil && b.Sequence < p.next {
		return
	}
	if p == nil || b.Sequence > p.next {
		p = s.add(b.Producer, b.Sequence) // the beginning was forgotten with age
	}
	p.push(slot[F]{crc: b.CRC, records: b.Records, base: base}, now)
	p.done = p.next
}

// Len is the number of producers that are remembered.
func (s *State[F]) Len() int { return len(s.producers) }

// Knows says whether a producer is remembered.
func (s *State[F]) Knows(id uint64) bool { return s.producers[id] != nil }

// Expire forgets producers that have nothing in flight and sent nothing since
// before, and returns how many.
func (s *State[F]) Expire(before time.Time) int {
	n := 0
	for id, p := range s.producers {
		if p.done == p.next && p.touched.Before(before) {
			delete(s.producers, id)
			n++
		}
	}
	return n
}
