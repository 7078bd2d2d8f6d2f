package producer

import (
	"errors"
	"fmt"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
)

// BatchPolicy says when a batch is closed: when it reaches the first of its
// three limits, or by Flush. Larger batches cost less CPU and fewer requests
// per record, smaller ones make records wait less. What each preset gives is
// measured in docs/performance.md.
type BatchPolicy struct {
	// Records is how many records close a batch, from 1 to 1,048,576. Default
	// 100.
	Records int
	// Bytes is how large a batch gets before compression, its header of 56
	// bytes included. Default 1 MiB, at most 15 MiB, which is what agents take.
	// A batch is also closed when another record of the mean size would not
	// fit. A record that is larger travels in a batch of its own.
	Bytes int
	// Linger is how long a batch waits for more records, from its first one
	// on. Default 100 ms.
	Linger time.Duration
}

// maxBatchRecords bounds what a batch takes besides its bytes: 8 MiB of
// callbacks.
const maxBatchRecords = 1 << 20

// DefaultBatchPolicy returns the balanced preset: 100 records, 1 MiB, 100 ms.
func DefaultBatchPolicy() BatchPolicy {
	return BatchPolicy{Records: 100, Bytes: 1 << 20, Linger: 100 * time.Millisecond}
}

// HighThroughputBatchPolicy returns 1000 records, 10 MiB, 500 ms: the least
// CPU per record, for streams that nobody waits for.
func HighThroughputBatchPolicy() BatchPolicy {
	return BatchPolicy{Records: 1000, Bytes: 10 << 20, Linger: 500 * time.Millisecond}
}

// LowLatencyBatchPolicy returns 10 records, 256 KiB, 10 ms. WithLinger(0) and
// WithAdaptiveLinger make a lone record wait even less.
func LowLatencyBatchPolicy() BatchPolicy {
	return BatchPolicy{Records: 10, Bytes: 256 << 10, Linger: 10 * time.Millisecond}
}

// What follows decides about every batch there is: the producer's own and
// those of a BatchManager.

// fits tells whether a record of up to next bytes may join a batch. The first
// one always may.
func (p *BatchPolicy) fits(records, size, next int) bool {
	return records == 0 || size+next <= p.Bytes
}

// full tells whether to close a batch now: it has all the records it may have,
// or another one of the size of those it has would not fit. Waiting for that
// one would only cost time.
func (p *BatchPolicy) full(records, size int) bool {
	return records >= p.Records || size >= p.Bytes || size > p.Bytes/2 && size+size/records > p.Bytes
}

// due is when a batch has waited long enough.
func (p *BatchPolicy) due(born time.Time) time.Time { return born.Add(p.Linger) }

func (p *BatchPolicy) validate() error {
	return p.check("BatchPolicy.Records", "BatchPolicy.Bytes", "BatchPolicy.Linger")
}

// check says what is wrong with the policy, by the names that the caller knows
// its fields by.
func (p *BatchPolicy) check(records, bytes, linger string) error {
	var wrong []error
	if p.Records < 1 || p.Records > maxBatchRecords {
		wrong = append(wrong, fmt.Errorf("%s is %d: it must be from 1 to %d", records, p.Records, maxBatchRecords))
	}
	if p.Bytes < 1 || p.Bytes > batch.MaxSize {
		wrong = append(wrong, fmt.Errorf("%s is %d: it must be from 1 to %d", bytes, p.Bytes, batch.MaxSize))
	}
	if p.Linger < 0 {
		wrong = append(wrong, fmt.Errorf("%s is %v: it must not be negative", linger, p.Linger))
	}
	return errors.Join(wrong...)
}
