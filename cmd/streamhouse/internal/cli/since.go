package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/reader"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// moment is a time to begin at, by the timestamps of the records.
type moment struct {
	since time.Duration // before now
	time  string        // RFC 3339
}

const (
	fromFlag  = "from"
	sinceFlag = "since"
	timeFlag  = "from-time"
)

func momentFlags(cmd *cobra.Command) *moment {
	m := &moment{}
	f := cmd.Flags()
	f.DurationVar(&m.since, sinceFlag, 0, "begin with the first record that is not older than this, as 1h or 90s")
	f.StringVar(&m.time, timeFlag, "", "begin with the first record from this time on, as 2026-01-31T15:04:05Z")
	f.Lookup(sinceFlag).DefValue = "" // without it, --from decides
	return m
}

// at is the time in milliseconds since the epoch; ok is false where none was
// given.
func (m *moment) at(cmd *cobra.Command, now time.Time) (ms int64, ok bool, err error) {
	given := 0
	for _, name := range []string{fromFlag, sinceFlag, timeFlag} {
		if cmd.Flags().Changed(name) {
			given++
		}
	}
	switch {
	case given > 1:
		return 0, false, usagef("--from, --since and --from-time each say where to begin: give one of them")
	case cmd.Flags().Changed(sinceFlag):
		if m.since <= 0 {
			return 0, false, usagef("--since %v: it must be above 0", m.since)
		}
		return now.Add(-m.since).UnixMilli(), true, nil
	case cmd.Flags().Changed(timeFlag):
		at, err := time.Parse(time.RFC3339, m.time)
		if err != nil {
			return 0, false, usagef("--from-time %q: write it as 2026-01-31T15:04:05Z, or with an offset, as 2026-01-31T15:04:05+01:00", m.time)
		}
		return ceilMillis(at), true, nil
	default:
		return 0, false, nil
	}
}

// ceilMillis is the first millisecond that is not before a time.
func ceilMillis(at time.Time) int64 {
	ms := at.UnixMilli()
	if at.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

// spanFrom asks where in a partition a time begins.
func (o *consumeOptions) spanFrom(ctx context.Context, owners *owners, topic *streamhousev1.Topic, partition uint32, ms int64) (reader.Range, error) {
	answer, err := owners.FindOffset(ctx, &streamhousev1.FindOffsetRequest{
		Topic: topic.GetName(), Partition: partition, TimestampMs: ms, TopicId: new(topic.GetId()),
	})
	if err != nil {
		return reader.Range{}, fmt.Errorf("look for the time in %s/%d: %w", topic.GetName(), partition, err)
	}
	return o.upTo(reader.Range{Partition: partition, At: answer.GetOffset(), From: answer.GetOffset(), To: answer.GetEndOffset()}), nil
}

// upTo lets a span go on for ever, where that is wanted.
func (o *consumeOptions) upTo(span reader.Range) reader.Range {
	if o.follow {
		span.To = reader.NoEnd
	}
	return span
}
