package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Agents merge, and remove what nothing names any more, while a store is
// checked. So whatever is missing is a fault only if the partition's row, read
// again, still needs it.

// again reads a partition's row as it stands now. It notes that the partition is
// gone when its topic is.
func (v *verifier) again(ctx context.Context, p *partition) (*meta.Partition, error) {
	now := &meta.Partition{Topic: p.row.Topic, Partition: p.row.Partition}
	err := v.rows.Get(ctx, now)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return nil, fmt.Errorf("read partition %d of topic %s: %w", p.row.Partition, p.topic, err)
	}
	topic := &meta.Topic{Name: p.topic}
	err = v.rows.Get(ctx, topic)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return nil, fmt.Errorf("read topic %s: %w", p.topic, err)
	}
	p.gone = err != nil || topic.Deleted || topic.ID != p.row.Topic
	if now.Version < p.row.Version && !p.gone {
		f := wrong("its row is gone, and the topic lives").of(p, p.row.LogStart)
		return nil, &f
	}
	return now, nil
}

// names says whether a partition's row names the index row of a compaction that
// holds an offset.
func names(row *meta.Partition, compaction, offset uint64) bool {
	c, ok := row.Checkpoint.At(offset)
	return ok && c.ID == compaction && row.LogStart <= offset
}

// catchUp follows a checkpoint that has moved since the partition's row was read:
// what it covers by now may be gone from the journals. Moved says that it has, or
// that the whole partition is gone.
func (v *verifier) catchUp(ctx context.Context, p *partition) (moved bool, err error) {
	now, err := v.again(ctx, p)
	if err != nil || p.gone {
		return p.gone, err
	}
	if now.Checkpoint.End <= p.covered {
		return false, nil
	}
	if err := p.checkCheckpoint(now); err != nil {
		return false, err
	}
	covered, err := v.walkRows(ctx, p, now, max(p.covered, now.LogStart))
	if err == nil {
		err = v.checkMerged(ctx) // while it is known what the journals told
	}
	if err != nil {
		return false, err
	}
	p.cover(covered)
	return true, nil
}

// cover notes that the index was followed up to a checkpoint: commits below it
// are no business of the journals any more.
func (p *partition) cover(c *meta.Checkpoint) {
	p.covered, p.total = max(p.covered, c.End), c.Bytes
	for _, t := range p.tenures {
		next := p.covered
		if !t.open {
			next = min(next, t.End)
		}
		if t.next < next {
			t.from, t.next = next, next
		}
	}
}

// journaled says whether the digest has the batch at an offset from a journal.
func (p *partition) journaled(offset uint64) bool {
	for _, t := range p.tenures {
		if t.from <= offset && offset < t.next {
			return true
		}
	}
	return false
}

// trimmed catches up with the partitions of whose present tenure, this
// session's, a journal may not tell everything any more.
func (v *verifier) trimmed(ctx context.Context, session string, first uint64) error {
	if first == 0 {
		return nil
	}
	for _, p := range v.sorted() {
		for _, t := range p.tenures {
			if !t.open || t.session != session || t.FirstSeq >= first {
				continue
			}
			if _, err := v.catchUp(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// grown says whether a topic has a partition by now that it did not have when it
// was read first.
func (v *verifier) grown(ctx context.Context, t *meta.Topic, partition uint32) (bool, error) {
	now := &meta.Topic{Name: t.Name}
	err := v.rows.Get(ctx, now)
	if errors.Is(err, meta.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read topic %s: %w", t.Name, err)
	}
	return now.ID != t.ID || now.Deleted || partition < now.Partitions, nil
}
