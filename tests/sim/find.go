package sim

import (
	"context"
	"fmt"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// checkTimes asks for the offsets of some times, of a log that was merged in part
// and taken over, and holds the answers against all of its records.
func (w *World) checkTimes(ctx context.Context, c streamhousev1.ConsumerServiceClient, topic string, partition uint32) error {
	times, err := readTimes(ctx, c, topic, partition)
	if err != nil || len(times) == 0 {
		return err
	}
	d := newDice(w.plot.seed, 7, uint64(partition))
	for range 5 {
		timestamp := times[d.IntN(len(times))] + d.Int64N(3) - 1
		want := 0
		for want < len(times) && times[want] < timestamp {
			want++
		}
		found, err := c.FindOffset(ctx, &streamhousev1.FindOffsetRequest{Topic: topic, Partition: partition, TimestampMs: timestamp})
		if err != nil {
			return fmt.Errorf("find offset: %w", err)
		}
		if found.GetOffset() != uint64(want) || (found.TimestampMs != nil) != (want < len(times)) {
			w.violate("misplaced: %s/%d has its first record since %d at offset %d, and %v is found", topic, partition, timestamp, want, found)
		}
	}
	return nil
}

// readTimes reads the timestamps of all records of a partition.
func readTimes(ctx context.Context, c streamhousev1.ConsumerServiceClient, topic string, partition uint32) (times []int64, err error) {
	for {
		page, err := c.FetchRecords(ctx, &streamhousev1.FetchRequest{Topic: topic, Partition: partition, Offset: uint64(len(times)), MaxBytes: 4 << 20})
		if err != nil {
			return nil, fmt.Errorf("fetch from offset %d: %w", len(times), err)
		}
		for _, r := range page.GetRecords() {
			times = append(times, r.GetRecord().GetTimestamp())
		}
		if uint64(len(times)) >= page.GetEndOffset() {
			return times, nil
		}
	}
}
