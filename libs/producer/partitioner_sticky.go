package producer

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/streamhouse/streamhouse/libs/producer/internal/murmur2"
)

// sticky is ByKey for one topic. It is written to once per batch only.
type sticky struct {
	// current is where records without a key go now, as a number that is still
	// to be reduced modulo the number of partitions, which may grow.
	current    atomic.Uint32
	count      atomic.Uint32 // of partitions, as Pick saw it last
	partitions Partitions    // nil where a wrapper of ByKey does not pass it on
}

func newSticky() *sticky {
	s := &sticky{}
	s.current.Store(rand.Uint32()) // not every producer starts at partition 0
	return s
}

// ObservePartitions makes the choice an informed one.
func (s *sticky) ObservePartitions(p Partitions) { s.partitions = p }

// Pick stays where it is.
func (s *sticky) Pick(rec Record, partitions int) int {
	if rec.Key != nil {
		return murmur2.Partition(rec.Key, partitions)
	}
	n := uint32(partitions)
	if s.count.Load() != n {
		s.count.Store(n)
	}
	return int(s.current.Load() % n)
}

// PartitionUnreachable moves on, for a batch without linger may else be open for
// as long as its agent is away.
func (s *sticky) PartitionUnreachable(partition int) {
	n, now := s.count.Load(), s.current.Load()
	if n < 2 || now%n != uint32(partition) || s.partitions == nil {
		return
	}
	if next, rank := s.best(n); rank.standing != away { // else none is better
		s.current.CompareAndSwap(now, next)
	}
}

// BatchClosed moves on, if it was the current partition's batch.
func (s *sticky) BatchClosed(partition int) {
	n, now := s.count.Load(), s.current.Load()
	if n < 2 || now%n != uint32(partition) {
		return
	}
	next := now%n + 1 + rand.Uint32N(n-1)
	if s.partitions != nil {
		next, _ = s.best(n)
	}
	s.current.CompareAndSwap(now, next)
}

const (
	// candidates bounds what a choice costs in a topic with many partitions. Of
	// 16 at random the best is nearly as good as the best of all.
	candidates = 16
	// nearBacklog is how much may wait for a partition of the own zone before
	// those of others are as good: an eighth of the default buffer, and what a
	// partition that takes 50 MB/s has on its way in 150 ms.
	nearBacklog = 8 << 20
)

// rank orders partitions: by standing first, by backlog then.
type rank struct {
	standing standing
	backlog  int
}

type standing uint8

const (
	near standing = iota // in the own zone, and not overloaded
	far
	away // its owner cannot be reached
)

func (r rank) better(than rank) bool {
	return r.standing < than.standing || r.standing == than.standing && r.backlog < than.backlog
}

// best looks at all partitions, from one at random on, or at some at random.
func (s *sticky) best(n uint32) (partition uint32, best rank) {
	zone, start := s.partitions.Zone(), rand.Uint32N(n)
	best = rank{standing: away + 1}
	for k := range min(n, candidates) {
		i := (start + k) % n
		if n > candidates {
			i = rand.Uint32N(n)
		}
		if r := rankOf(s.partitions.State(int(i)), zone); r.better(best) {
			partition, best = i, r
		}
	}
	return partition, best
}

func rankOf(p PartitionState, zone string) rank {
	switch {
	case !p.Reachable:
		return rank{standing: away, backlog: p.Backlog}
	case zone != "" && p.Zone == zone && p.Backlog < nearBacklog:
		return rank{standing: near, backlog: p.Backlog}
	default:
		return rank{standing: far, backlog: p.Backlog}
	}
}
