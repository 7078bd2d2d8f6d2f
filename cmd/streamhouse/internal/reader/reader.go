// Package reader reads partitions: it fetches batches as they were stored,
// decodes them, and hands over the records from the wanted offset on.
package reader

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/record"
	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// NoEnd as a Range's end follows the partition for ever.
const NoEnd = math.MaxUint64

// ErrStop is returned by a Visitor that has seen enough. It ends the reading
// of all partitions and is no failure.
var ErrStop = errors.New("stop reading")

const (
	// longPoll is how long the agent holds a fetch that finds nothing; less
	// than any proxy's idle timeout.
	longPoll = 20 * time.Second
	// answerTimeout is how long an answer may take beyond the long poll. An
	// agent that vanished with its machine answers nothing at all.
	answerTimeout = 30 * time.Second
	// maxMessage is the largest answer taken: the agent's limit of 8 MiB can
	// be passed by the one batch of 15 MiB that is always returned whole.
	maxMessage     = 32 << 20
	firstBackoff   = 50 * time.Millisecond
	longestBackoff = 2 * time.Second
)

// Client is the call that reading needs of ConsumerServiceClient.
type Client interface {
	Fetch(ctx context.Context, in *streamhousev1.FetchRequest, opts ...grpc.CallOption) (*streamhousev1.FetchResponse, error)
}

// Range is what to read of one partition.
type Range struct {
	Partition uint32
	// At is the first offset to fetch; it must be in the log or at its end.
	At uint64
	// From is the first offset to hand over, at least At. Above the log's end
	// it has not been written yet.
	From uint64
	// To is the offset after the last one to hand over; NoEnd follows.
	To uint64
}

// Visitor takes the records of one partition, in order.
type Visitor interface {
	// Visit takes the next record, which is valid until Visit returns. An
	// error ends the reading of all partitions.
	Visit(r *record.Record) error
	// Pause is called whenever the next record has to be waited for, and after
	// the last: the moment to flush.
	Pause() error
}

// BatchVisitor is a Visitor that is also told of every batch, before the records
// in it. Base is the offset of its first record, which may be before the range.
type BatchVisitor interface {
	VisitBatch(base uint64, h *batch.Header)
}

// Reader reads partitions of one topic. It is safe for concurrent use.
type Reader struct {
	Client Client
	Topic  string
	// TopicID is the topic that is meant, and no other of its name; nil is
	// whichever has the name.
	TopicID *uint32
	// MaxBytes is how much to fetch at once; 0 leaves it to the agent.
	MaxBytes uint32
	// Patience is how long refusals that may pass, such as a lost connection,
	// are met with another try.
	Patience time.Duration
}

// Read hands the records of a range to v. It returns nil at the range's end.
func (r *Reader) Read(ctx context.Context, span Range, v Visitor) error {
	c := cursor{Reader: r, span: span, visitor: v, next: span.At}
	c.record.Partition = int64(span.Partition)
	for c.next < span.To {
		if err := c.step(ctx); err != nil {
			return err
		}
	}
	return v.Pause()
}

// cursor is one reading under way.
type cursor struct {
	*Reader
	span    Range
	visitor Visitor
	next    uint64 // the offset to fetch
	decoder batch.Decoder
	stored  batch.Record
	record  record.Record
}

// step fetches once and visits what came.
func (c *cursor) step(ctx context.Context) error {
	answer, err := c.fetch(ctx)
	if err != nil {
		return fmt.Errorf("read %s/%d at offset %d: %w", c.Topic, c.span.Partition, c.next, err)
	}
	for _, b := range answer.GetBatches() {
		if err := c.visitBatch(b); err != nil {
			return err
		}
		if c.next >= c.span.To {
			return nil
		}
	}
	return c.visitor.Pause()
}

// fetch asks until there is an answer, patience ends, or the error is one that
// waiting cannot mend.
func (c *cursor) fetch(ctx context.Context) (*streamhousev1.FetchResponse, error) {
	var failingSince time.Time
	for backoff := firstBackoff; ; backoff = min(2*backoff, longestBackoff) {
		answer, err := c.fetchOnce(ctx)
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if failingSince.IsZero() {
			failingSince = time.Now()
		}
		refusal := reason.From(err)
		if !mayPass(refusal) || time.Since(failingSince) >= c.Patience {
			return nil, err
		}
		select {
		case <-time.After(max(backoff, refusal.RetryDelay)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (c *cursor) fetchOnce(ctx context.Context) (*streamhousev1.FetchResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, longPoll+answerTimeout)
	defer cancel()
	return c.Client.Fetch(ctx, &streamhousev1.FetchRequest{
		Topic: c.Topic, TopicId: c.TopicID, Partition: c.span.Partition, Offset: c.next,
		MaxBytes: c.MaxBytes, MaxWaitMs: uint32(longPoll.Milliseconds()),
	}, grpc.MaxCallRecvMsgSize(maxMessage))
}

func mayPass(e *reason.Error) bool {
	switch e.Recovery() {
	case reason.Retry, reason.Resolve:
		return true
	default:
		return false
	}
}

// visitBatch decodes one batch. A hole before it would be records that nobody
// reads: offsets are dense, so it is an error.
func (c *cursor) visitBatch(b *streamhousev1.FetchedBatch) error {
	base := b.GetBaseOffset()
	if base > c.next {
		return fmt.Errorf("%s/%d goes on at offset %d where %d was due: the agent left records out",
			c.Topic, c.span.Partition, base, c.next)
	}
	header, err := c.decoder.Reset(b.GetBatch())
	if err != nil {
		return fmt.Errorf("decode batch at %s/%d offset %d: %w", c.Topic, c.span.Partition, base, err)
	}
	if end := base + uint64(header.Records); end <= c.next {
		return fmt.Errorf("%s/%d answered with a batch that ends at offset %d where %d was asked for",
			c.Topic, c.span.Partition, end, c.next)
	}
	if v, ok := c.visitor.(BatchVisitor); ok {
		v.VisitBatch(base, &header)
	}
	for offset := base; c.decoder.Next(&c.stored); offset++ {
		if offset < c.next {
			continue
		}
		if offset >= c.span.To {
			return nil
		}
		c.next = offset + 1
		if offset < c.span.From {
			continue
		}
		if err := c.visit(offset); err != nil {
			return err
		}
	}
	if err := c.decoder.Err(); err != nil {
		return fmt.Errorf("decode batch at %s/%d offset %d: %w", c.Topic, c.span.Partition, base, err)
	}
	return nil
}

func (c *cursor) visit(offset uint64) error {
	c.record.Offset = offset
	c.record.Timestamp = time.UnixMilli(c.stored.Timestamp)
	c.record.Key, c.record.Value = c.stored.Key, c.stored.Value
	c.record.Headers = c.stored.Headers
	return c.visitor.Visit(&c.record)
}
