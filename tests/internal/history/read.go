package history

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// Read reads all of a topic, from the first to the last record that was
// committed when it began, by the plain calls that any reader makes.
func Read(ctx context.Context, topics streamhousev1.TopicServiceClient, consumer streamhousev1.ConsumerServiceClient, topic string) (Log, error) {
	found, err := topics.DescribeTopic(ctx, &streamhousev1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", topic, err)
	}
	log := Log{}
	for partition := range found.GetTopic().GetPartitionCount() {
		if log[partition], err = ReadPartition(ctx, consumer, topic, partition, 0); err != nil {
			return nil, fmt.Errorf("read %s/%d: %w", topic, partition, err)
		}
	}
	return log, nil
}

// ReadPartition reads a partition from an offset to what was its end at last.
func ReadPartition(ctx context.Context, consumer streamhousev1.ConsumerServiceClient, topic string, partition uint32, next uint64) ([]Entry, error) {
	var entries []Entry
	var d batch.Decoder
	for end := uint64(0); ; {
		page, err := fetch(ctx, consumer, &streamhousev1.FetchRequest{Topic: topic, Partition: partition, Offset: next, MaxBytes: 4 << 20})
		if err != nil {
			return nil, fmt.Errorf("fetch from offset %d: %w", next, err)
		}
		end = page.GetEndOffset()
		if next >= end {
			return entries, nil
		}
		if len(page.GetBatches()) == 0 {
			return nil, fmt.Errorf("fetch from offset %d: nothing, though the end is %d", next, end)
		}
		for _, b := range page.GetBatches() {
			if entries, err = decode(&d, b, next, entries); err != nil {
				return nil, fmt.Errorf("decode batch at offset %d: %w", b.GetBaseOffset(), err)
			}
			next = entries[len(entries)-1].Offset + 1
		}
	}
}

// fetch asks again, as any reader does, while the agent cannot read from its store.
func fetch(ctx context.Context, consumer streamhousev1.ConsumerServiceClient, req *streamhousev1.FetchRequest) (*streamhousev1.FetchResponse, error) {
	const tries, pause = 5, 200 * time.Millisecond
	for try := 1; ; try++ {
		page, err := consumer.Fetch(ctx, req)
		if err == nil || try == tries || !errors.Is(reason.From(err), reason.StorageUnavailable) {
			return page, err
		}
		time.Sleep(pause)
	}
}

// Decode returns the records of a batch as it was fetched.
func Decode(b *streamhousev1.FetchedBatch) ([]Entry, error) {
	return decode(new(batch.Decoder), b, b.GetBaseOffset(), nil)
}

// decode appends a batch's records from offset next on.
func decode(d *batch.Decoder, b *streamhousev1.FetchedBatch, next uint64, entries []Entry) ([]Entry, error) {
	if _, err := d.Reset(b.GetBatch()); err != nil {
		return nil, err
	}
	before := len(entries)
	var r batch.Record
	for offset := b.GetBaseOffset(); d.Next(&r); offset++ {
		if offset >= next {
			id, err := Parse(r.Value)
			entries = append(entries, Entry{Offset: offset, ID: id, Err: err})
		}
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	if len(entries) == before {
		return nil, fmt.Errorf("it holds nothing from offset %d on", next)
	}
	return entries, nil
}

// Verify reads a topic and fails the test for everything that is wrong with
// it. It returns what it read.
func (h *History) Verify(t *testing.T, topics streamhousev1.TopicServiceClient, consumer streamhousev1.ConsumerServiceClient, topic string) Log {
	t.Helper()
	log, err := Read(t.Context(), topics, consumer, topic)
	if err != nil {
		t.Fatal(err)
	}
	const shown = 20
	violations := h.Check(log)
	for _, v := range violations[:min(shown, len(violations))] {
		t.Error(v)
	}
	if len(violations) > shown {
		t.Errorf("and %d more violations", len(violations)-shown)
	}
	return log
}
