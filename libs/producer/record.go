package producer

import (
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
)

// Record is one entry for a topic's log. The library copies its bytes before
// SendAsync returns.
type Record struct {
	// Topic is the log that the record goes to. Empty stands for the one that
	// WithTopic set.
	Topic string
	// Key chooses the partition and identifies the record. Nil (null) differs
	// from empty.
	Key []byte
	// Value is the payload. Nil (null) is a tombstone.
	Value []byte
	// Headers keep their order; keys may repeat. At most 65,536.
	Headers []Header
	// Timestamp is kept in milliseconds. The zero time stands for now.
	Timestamp time.Time
	// Partition is where the record goes with WithPartitioner(Manual()); other
	// partitioners ignore it.
	Partition int32
}

// Header is one annotation of a record. Its Value may be nil (null).
type Header = batch.RecordHeader

// Ack says where a record stands in the log, durably.
type Ack struct {
	Topic     string
	Partition uint32
	// Offset is the record's number in its partition, from 0 without gaps.
	Offset uint64
}
