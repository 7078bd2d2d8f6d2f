package producer

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/streamhouse/streamhouse/libs/producer/internal/murmur2"
)

// Partitioner chooses the partitions of records. Its methods, and those of
// what ForTopic returns, are called by many goroutines at once and must be
// quick.
type Partitioner interface {
	// ForTopic returns what chooses within one topic. It is called once for
	// every topic that is sent to.
	ForTopic(topic string) TopicPartitioner
}

// TopicPartitioner chooses the partitions of one topic's records.
type TopicPartitioner interface {
	// Pick returns the partition of rec, from 0 to partitions-1; any other
	// number fails the record with ErrInvalidPartition. It must not keep rec.
	Pick(rec Record, partitions int) int
}

// BatchObserver is what a TopicPartitioner implements if it wants to know when
// batches are full: the moment to change the partition without making batches
// smaller.
type BatchObserver interface {
	// BatchClosed is called when a batch takes no more records. It must
	// return at once and not call the producer.
	BatchClosed(partition int)
}

// ByKey returns the default partitioner. A record with a key goes to the
// partition that its murmur2 hash names, which is where Kafka's clients put
// it. A record whose key is nil goes where the last such record went until
// that batch is full, and then to another partition chosen at random.
func ByKey() Partitioner { return byKey{} }

type byKey struct{}

func (byKey) ForTopic(string) TopicPartitioner {
	s := &sticky{}
	s.current.Store(rand.Uint32()) // not every producer starts at partition 0
	return s
}

// sticky holds where records without a key go now, as a number that is still
// to be reduced modulo the number of partitions, which may grow.
type sticky struct {
	current    atomic.Uint32
	partitions atomic.Uint32 // as Pick saw it last
}

func (s *sticky) Pick(rec Record, partitions int) int {
	if rec.Key != nil {
		return murmur2.Partition(rec.Key, partitions)
	}
	n := uint32(partitions)
	if s.partitions.Load() != n {
		s.partitions.Store(n)
	}
	return int(s.current.Load() % n)
}

// BatchClosed moves on to any other partition, if it was the current one's
// batch.
func (s *sticky) BatchClosed(partition int) {
	n, now := s.partitions.Load(), s.current.Load()
	if n > 1 && now%n == uint32(partition) {
		s.current.CompareAndSwap(now, now%n+1+rand.Uint32N(n-1))
	}
}

// Manual returns the partitioner that takes Record.Partition as it is.
func Manual() Partitioner { return manual{} }

type manual struct{}

func (m manual) ForTopic(string) TopicPartitioner { return m }

func (manual) Pick(rec Record, _ int) int { return int(rec.Partition) }
