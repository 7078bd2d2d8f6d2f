package compaction

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Topics knows the topics' settings.
type Topics interface {
	ByID(ctx context.Context, id uint32) (*meta.Topic, error)
}

// oldest is the first run of a partition that was not let go when it was looked
// at: until that changes there is nothing to read.
type oldest struct {
	total  uint64
	merged int64
}

// maxRuns is how many runs of a partition retention lets go at a time.
const maxRuns = 1000

// retain moves the log starts of partitions whose topics keep records for a time,
// or up to a size. Whole runs go: what was not merged yet stays.
func (c *Compactor) retain(ctx context.Context, tenures []*flush.Tenure) {
	for _, t := range tenures {
		topic, err := c.deps.Topics.ByID(ctx, t.Topic)
		if errors.Is(err, reason.UnknownTopic) || err == nil && topic.RetentionMillis == 0 && topic.RetentionBytes == 0 {
			continue
		}
		if err == nil {
			err = c.retainOne(ctx, t, topic)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, ErrNotOwned) {
			c.deps.Logger.Warn("log start not moved, trying again",
				slog.Any("topic", t.Topic), slog.Any("partition", t.Partition), slog.Any("error", err))
		}
	}
}

func (c *Compactor) retainOne(ctx context.Context, t *flush.Tenure, topic *meta.Topic) error {
	start, _ := t.Index.Bounds()
	checkpoint := t.Index.Tail().Checkpoint
	if first, known := c.oldest[t]; known && !expired(topic, &checkpoint, first, time.Now()) {
		return nil
	}
	next, bytes, err := c.firstKept(ctx, t, topic, start, &checkpoint)
	if err != nil || next == start {
		return err
	}
	var stands *meta.Partition
	err = c.deps.Owner.Change(ctx, t, func(now *meta.Partition) (bool, error) {
		stands = now
		if now.LogStart >= next {
			return false, nil
		}
		now.LogStart = next
		now.Checkpoint.Compactions = slices.DeleteFunc(slices.Clone(now.Checkpoint.Compactions),
			func(g meta.Compaction) bool { return g.End <= next })
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("move log start: %w", err)
	}
	t.Index.Advance(stands)
	c.deps.Counters.Retained(bytes, next-start)
	return nil
}

// firstKept is the offset from which on runs are kept.
func (c *Compactor) firstKept(ctx context.Context, t *flush.Tenure, topic *meta.Topic, start uint64, checkpoint *meta.Checkpoint) (next, bytes uint64, err error) {
	next = start
	for n := 0; n < maxRuns; {
		compaction, ok := checkpoint.At(next)
		if !ok {
			return next, bytes, nil
		}
		for row, err := range meta.Query[*meta.Run](ctx, c.deps.Rows, meta.RunHash(t.Topic, t.Partition, compaction.ID), next) {
			if err != nil {
				return next, bytes, fmt.Errorf("read index: %w", err)
			}
			if row.Base >= compaction.End {
				break
			}
			first := oldest{total: row.Total, merged: row.MergedMillis}
			if n == maxRuns || !expired(topic, checkpoint, first, time.Now()) {
				c.oldest[t] = first
				return next, bytes, nil
			}
			blocks, err := index.ParseBlocks(row.Blocks)
			if err != nil {
				return next, bytes, fmt.Errorf("index row at offset %d: %w", next, err)
			}
			for _, b := range blocks {
				bytes += uint64(b.Size)
			}
			next = row.Last + 1
			n++
		}
		if next < compaction.End {
			return next, bytes, nil // an index row is missing: a reader reports it
		}
	}
	return next, bytes, nil
}

// expired says whether a run need not be kept: it was merged long enough ago, or
// enough follows it. Time counts from when the run was merged, by its owner's
// clock, which is after its records were appended: what a producer says of its
// records' time cannot make them go early.
func expired(topic *meta.Topic, checkpoint *meta.Checkpoint, first oldest, now time.Time) bool {
	if topic.RetentionMillis > 0 && now.UnixMilli()-first.merged >= topic.RetentionMillis {
		return true
	}
	return topic.RetentionBytes > 0 && checkpoint.Bytes-min(first.total, checkpoint.Bytes) >= uint64(topic.RetentionBytes)
}
