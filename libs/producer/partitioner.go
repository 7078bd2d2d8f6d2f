package producer

import "sync/atomic"

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

// PartitionsObserver is what a TopicPartitioner implements if it wants to know
// how its topic's partitions do.
type PartitionsObserver interface {
	// ObservePartitions is called once, before the first Pick. p may be used
	// from then on, in Pick and BatchClosed as well.
	ObservePartitions(p Partitions)
}

// OutageObserver is what a TopicPartitioner implements if it wants to know when
// records of a partition wait for an owner that cannot be reached.
type OutageObserver interface {
	// PartitionUnreachable is called after every attempt that failed. It must
	// return at once and not call the producer.
	PartitionUnreachable(partition int)
}

// Partitions are a topic's partitions as the producer sees them now. Its
// methods are safe for concurrent use, take no lock and allocate nothing.
type Partitions interface {
	// Zone returns the producer's own zone (WithZone), or "".
	Zone() string
	// Len returns how many partitions there are. It never becomes less.
	Len() int
	// State returns how a partition does, from 0 to Len()-1.
	State(partition int) PartitionState
}

// PartitionState is how a partition does.
type PartitionState struct {
	// Backlog is the bytes of records that were taken and are not resolved:
	// those that wait and those that are on their way. It grows where the owner
	// is slow, busy or away.
	Backlog int
	// Reachable is false while the last attempt to connect to the owner, or the
	// last stream to it, failed.
	Reachable bool
	// Zone is the owner's, or "" where it told none.
	Zone string
}

// ByKey returns the default partitioner. A record with a key goes to the
// partition that its murmur2 hash names, which is where Kafka's clients put
// it. When a topic gets more partitions, keys move to other ones, here as
// there: what needs the order of a key across that keeps the number as it is.
//
// A record whose key is nil goes where the last such record went until that
// batch is closed, and then to the partition with the least backlog, of 16
// chosen at random if there are more. So slow partitions get few of them, and
// one whose owner cannot be reached gets none while there is another.
//
// With WithZone it prefers partitions whose owners are in the producer's zone,
// as long as less than 8 MiB wait for them: traffic within a zone is faster and
// costs nothing. If there is none, or all of them are slower than that, it takes
// any.
func ByKey() Partitioner { return byKey{} }

type byKey struct{}

func (byKey) ForTopic(string) TopicPartitioner { return newSticky() }

// RoundRobin returns the partitioner that gives every partition a record in
// turn, whatever the keys and however slow some partitions are. Every partition
// then has a batch of its own to fill: batches are smaller than with ByKey.
func RoundRobin() Partitioner { return roundRobin{} }

type roundRobin struct{}

func (roundRobin) ForTopic(string) TopicPartitioner { return &turns{} }

type turns struct{ next atomic.Uint64 }

func (t *turns) Pick(_ Record, partitions int) int {
	return int((t.next.Add(1) - 1) % uint64(partitions))
}

// Manual returns the partitioner that takes Record.Partition as it is.
func Manual() Partitioner { return manual{} }

type manual struct{}

func (m manual) ForTopic(string) TopicPartitioner { return m }

func (manual) Pick(rec Record, _ int) int { return int(rec.Partition) }
