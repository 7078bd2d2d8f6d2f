// Package record holds a record as the command line shows and reads it, and
// the text forms it has there: raw lines, JSON lines and templates.
package record

import (
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
)

// AnyPartition leaves the choice of the partition to the producer.
const AnyPartition = -1

// Record is one record. A nil Key or Value is null, which differs from an
// empty one.
type Record struct {
	// Partition is AnyPartition for a record that was read from text without
	// one.
	Partition int64
	// Offset is meaningful only for a record that was read from a log.
	Offset uint64
	// Timestamp is the zero time for a record that was read from text without
	// one. It has milliseconds, no less.
	Timestamp time.Time
	Key       []byte
	Value     []byte
	// Headers are in order; keys may repeat.
	Headers []Header
}

// Header is one annotation. A nil Value is null.
type Header = batch.RecordHeader
