package demo

import (
	"fmt"
	"sync/atomic"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/record"
)

// place is where a record was acknowledged: partition and offset in one word,
// so that a million of them take 8 MB.
type place uint64

const (
	offsetBits = 48
	nowhere    = ^place(0)
)

func placeOf(partition uint32, offset uint64) place {
	return place(uint64(partition)<<offsetBits | offset)
}

func (p place) String() string {
	if p == nowhere {
		return "nowhere"
	}
	return fmt.Sprintf("partition %d, offset %d", uint64(p)>>offsetBits, uint64(p)&(1<<offsetBits-1))
}

// checker compares one partition's records, as they are read back, with what
// was sent and where it was acknowledged. It is a reader.Visitor.
type checker struct {
	content  *content
	acks     []place
	verified *atomic.Int64

	partition uint32
	offset    uint64 // due next
	last      int64  // index of the record before; -1 before the first
	buf       []byte
}

func newChecker(c *content, acks []place, verified *atomic.Int64, partition uint32) *checker {
	return &checker{content: c, acks: acks, verified: verified, partition: partition, last: -1}
}

// Visit checks that offsets are dense, that the record is one of those sent,
// that it stands where its acknowledgement said, that records of a partition
// come in the order in which they were sent, and every byte. A record that
// stands twice is found, too: it was acknowledged for one place only.
func (c *checker) Visit(r *record.Record) error {
	here := placeOf(c.partition, r.Offset)
	if r.Offset != c.offset {
		return fmt.Errorf("%v: offset %d was due", here, c.offset)
	}
	i, err := indexOf(r.Value)
	if err != nil {
		return fmt.Errorf("%v: %w", here, err)
	}
	if i >= uint64(len(c.acks)) {
		return fmt.Errorf("%v: record %d was never sent", here, i)
	}
	if c.acks[i] != here {
		return fmt.Errorf("%v: record %d stands here, but was acknowledged for %v", here, i, c.acks[i])
	}
	if int64(i) <= c.last {
		return fmt.Errorf("%v: record %d comes after record %d", here, i, c.last)
	}
	if c.buf, err = c.content.difference(c.buf, i, r.Key, r.Value); err != nil {
		return fmt.Errorf("%v: %w", here, err)
	}
	c.offset, c.last = r.Offset+1, int64(i)
	c.verified.Add(1)
	return nil
}

// Pause is part of reader.Visitor; there is nothing to flush.
func (*checker) Pause() error { return nil }
