package producer

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// Batch is a closed batch of one partition, as a BatchBuffer or a BatchManager
// hands it out. It belongs to whoever got it, is never empty, and is not safe
// for concurrent use.
type Batch struct {
	Topic     string
	Partition uint32
	// Sequence counts the batches of the partition, from 0 without gaps, in
	// the order in which they have to be appended.
	Sequence uint64

	builder batch.Builder
	born    time.Time
	size    int
	data    []byte // as it was encoded last
}

// Len returns the number of records.
func (b *Batch) Len() int { return b.builder.Len() }

// Size returns an upper bound of the batch's bytes, uncompressed, in the form
// of Encode: a header and the RecordSize of every record. It never exceeds 15
// MiB, and the message of Request does not exceed 16 MiB either.
func (b *Batch) Size() int { return b.size }

// Records returns the records in order. Their bytes are the batch's: they must
// not be changed, and hold until the next call of Records or Encode.
func (b *Batch) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		if b.data == nil {
			b.data = b.builder.Seal(0, b.Sequence)
		}
		var d batch.Decoder
		_, _ = d.Reset(b.data) // it cannot fail: we wrote it
		for in := (batch.Record{}); d.Next(&in); {
			rec := Record{
				Topic: b.Topic, Partition: int32(b.Partition), Key: in.Key, Value: in.Value,
				Headers: slices.Clone(in.Headers), Timestamp: time.UnixMilli(in.Timestamp),
			}
			if !yield(rec) {
				return
			}
		}
	}
}

// Request returns the batch as a request of the unary call
// ProducerService.Produce. With a producer id that is not 0, chosen at random
// for each run, agents recognise a repeat by the batch's Sequence, so that a
// retry never doubles; batches of a partition are then to be appended in order.
// With 0 every call appends. The request shares the batch's bytes, as Records
// does.
func (b *Batch) Request(producerID uint64) *streamhousev1.ProduceRequest {
	req := &streamhousev1.ProduceRequest{
		Topic: b.Topic, Partition: b.Partition,
		Records: make([]*streamhousev1.Record, 0, b.Len()),
	}
	if producerID != 0 {
		req.ProducerId, req.Sequence = &producerID, &b.Sequence
	}
	for rec := range b.Records() {
		ms := rec.Timestamp.UnixMilli()
		out := &streamhousev1.Record{Key: rec.Key, Value: rec.Value, Timestamp: &ms}
		for _, h := range rec.Headers {
			out.Headers = append(out.Headers, &streamhousev1.Header{Key: h.Key, Value: h.Value})
		}
		req.Records = append(req.Records, out)
	}
	return req
}

// Encode returns the batch in the log's own format, as
// ProducerService.ProduceStream takes it, under a producer id that is not 0 and
// the batch's Sequence. It may be called again, with another id; what has been
// compressed stays as it is. The bytes are the batch's, as with Records.
func (b *Batch) Encode(codec Codec, producerID uint64) []byte {
	b.builder.Compress(codec)
	b.data = b.builder.Seal(producerID, b.Sequence)
	return b.data
}

// RecordSize returns what a record counts for in batches and buffers: an upper
// bound of the bytes that it takes encoded, which is its key, its value and 23
// bytes, and for every header its name, its value and 10 bytes.
func RecordSize(rec Record) int {
	return batch.RecordSize(&batch.Record{Key: rec.Key, Value: rec.Value, Headers: rec.Headers})
}

// BatchBuffer fills the batches of one partition. Most applications want a
// [BatchManager], which has one for every partition, or a [Producer], which
// also sends. It is not safe for concurrent use.
type BatchBuffer struct {
	topic     string
	partition uint32
	policy    BatchPolicy
	open      *Batch // nil while there is no record
	sequence  uint64
}

// NewBatchBuffer makes an empty buffer.
func NewBatchBuffer(topic string, partition uint32, policy BatchPolicy) (*BatchBuffer, error) {
	if err := policy.validate(); err != nil {
		return nil, fmt.Errorf("new batch buffer: %w", err)
	}
	return &BatchBuffer{topic: topic, partition: partition, policy: policy}, nil
}

// Append copies rec into the open batch and returns the batches that this
// closes, in order: none, the one that rec fills, or the one that rec would not
// fit, or both. The record's topic and partition are the buffer's, whatever it
// says, and its time is now if it has none. It returns an *Error with
// ErrRecordTooLarge for a record that no batch can hold, and has then done
// nothing.
func (b *BatchBuffer) Append(rec Record) ([]*Batch, error) {
	size := RecordSize(rec)
	if size > largestRecord {
		return nil, &Error{Topic: b.topic, Partition: int32(b.partition), Outcome: NotDone, Err: tooLarge(size, largestRecord)}
	}
	var closed []*Batch
	if b.open != nil && !b.policy.fits(b.open.Len(), b.open.size, size) {
		closed = append(closed, b.Drain())
	}
	now := time.Now()
	if b.open == nil {
		b.open = &Batch{Topic: b.topic, Partition: b.partition, Sequence: b.sequence, born: now, size: batch.HeaderSize}
		b.sequence++
	}
	if rec.Timestamp.IsZero() {
		rec.Timestamp = now
	}
	b.open.builder.Append(&batch.Record{Key: rec.Key, Value: rec.Value, Headers: rec.Headers, Timestamp: rec.Timestamp.UnixMilli()})
	b.open.size += size
	if b.policy.full(b.open.Len(), b.open.size) {
		closed = append(closed, b.Drain())
	}
	return closed, nil
}

// Drain closes the open batch and returns it, or nil if there is no record. The
// buffer holds no memory then.
func (b *BatchBuffer) Drain() *Batch {
	closed := b.open
	b.open = nil
	return closed
}

// Len returns the number of records in the open batch.
func (b *BatchBuffer) Len() int {
	if b.open == nil {
		return 0
	}
	return b.open.Len()
}

// Size returns the open batch's Size, 0 if there is none.
func (b *BatchBuffer) Size() int {
	if b.open == nil {
		return 0
	}
	return b.open.size
}

// Due returns when the open batch has waited for the policy's linger, the zero
// time if there is none.
func (b *BatchBuffer) Due() time.Time {
	if b.open == nil {
		return time.Time{}
	}
	return b.policy.due(b.open.born)
}
