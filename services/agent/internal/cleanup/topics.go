package cleanup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// deletedTopics lists the topics whose rows are marked as deleted.
func (c *Cleaner) deletedTopics(ctx context.Context) (deleted []*meta.Topic, err error) {
	for row, err := range meta.Scan[*meta.Topic](ctx, c.deps.Rows) {
		if err != nil {
			return nil, fmt.Errorf("read topics: %w", err)
		}
		if row.Deleted {
			deleted = append(deleted, row)
		}
	}
	slices.SortFunc(deleted, func(a, b *meta.Topic) int { return strings.Compare(a.Name, b.Name) })
	return deleted, nil
}

// bury makes the tombstones that are missing: who deleted the topic ended between
// its two rows. The next pass goes on from there.
func (c *Cleaner) bury(ctx context.Context, deleted []*meta.Topic, v *view) error {
	for _, t := range deleted {
		if v.at(t.ID).dead {
			continue
		}
		if c.opts.DryRun {
			v.at(t.ID).dead = true
			v.tombstones = append(v.tombstones, &meta.Tombstone{Topic: t.ID, Name: t.Name})
			continue
		}
		err := c.deps.Rows.Create(ctx, &meta.Tombstone{Topic: t.ID, Name: t.Name})
		if err != nil && !errors.Is(err, meta.ErrExists) {
			return fmt.Errorf("bury topic %s: %w", t.Name, err)
		}
	}
	return nil
}

// removeTopics removes the partitions of deleted topics, whose rows nobody reads
// any more but to find that out. An agent that has not heard of it may make one
// anew, so that a tombstone is done only when a later pass finds none; should one
// come after that, it goes too.
func (c *Cleaner) removeTopics(ctx context.Context, v *view) error {
	var errs []error
	waiting := map[uint32]time.Time{}
	for _, row := range v.tombstones {
		since, known := c.deleted[row.Topic]
		if !known {
			since = time.Now()
		}
		if !row.Cleaned {
			waiting[row.Topic] = since
		}
		if c.late() || ctx.Err() != nil {
			continue
		}
		partitions := v.topics[row.Topic].partitions
		if err := c.removePartitions(ctx, row, partitions); err != nil {
			errs = append(errs, err)
			continue
		}
		if row.Cleaned {
			continue
		}
		if !c.opts.DryRun && (len(partitions) > 0 || !c.due(since)) {
			c.waits(TopicMark, Deleted, 1, 0, since)
			continue
		}
		if err := c.markCleaned(ctx, row); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(waiting, row.Topic)
	}
	c.deleted = waiting
	return errors.Join(errs...)
}

func (c *Cleaner) removePartitions(ctx context.Context, t *meta.Tombstone, partitions map[uint32]*meta.Partition) error {
	for _, n := range slices.Sorted(maps.Keys(partitions)) {
		a := Action{What: PartitionRow, Key: fmt.Sprintf("%d/%d", t.Topic, n), Why: Deleted}
		if err := c.removeRow(ctx, partitions[n], a); err != nil {
			return err
		}
	}
	return nil
}

// markCleaned marks a tombstone as done.
func (c *Cleaner) markCleaned(ctx context.Context, row *meta.Tombstone) error {
	if !c.opts.DryRun {
		row.Cleaned = true
		err := c.deps.Rows.Swap(ctx, row)
		if errors.Is(err, meta.ErrConflict) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("mark the tombstone of topic %s: %w", row.Name, err)
		}
	}
	c.removed(Action{What: TopicMark, Key: fmt.Sprintf("%d %s", row.Topic, row.Name), Why: Deleted})
	return nil
}
