package cleanup

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
)

// view is what tombstones and partition rows said at one time, or, of one topic
// after the other, when they were first asked. What is judged by a view must have
// been read before it.
type view struct {
	rows       meta.Store
	topics     map[uint32]*topic
	complete   bool
	tombstones []*meta.Tombstone
	owners     map[string]bool // sessions that own a partition
	mentioned  map[string]bool // sessions that owned or own one
	states     map[string]bool // objects of producers' states
}

// topic is what a view has of a topic.
type topic struct {
	dead       bool
	partitions map[uint32]*meta.Partition
}

func newView(rows meta.Store) *view { return &view{rows: rows, topics: map[uint32]*topic{}} }

// all reads all topics.
func (v *view) all(ctx context.Context) error {
	v.topics, v.tombstones = map[uint32]*topic{}, nil
	v.owners, v.mentioned, v.states = map[string]bool{}, map[string]bool{}, map[string]bool{}
	for row, err := range meta.Scan[*meta.Tombstone](ctx, v.rows) {
		if err != nil {
			return fmt.Errorf("read tombstones: %w", err)
		}
		v.tombstones = append(v.tombstones, row)
		v.at(row.Topic).dead = true
	}
	for row, err := range meta.Scan[*meta.Partition](ctx, v.rows) {
		if err != nil {
			return fmt.Errorf("read partitions: %w", err)
		}
		t := v.at(row.Topic)
		t.partitions[row.Partition] = row
		if !t.dead {
			v.mention(row)
		}
	}
	v.complete = true
	return nil
}

func (v *view) at(id uint32) *topic {
	t := v.topics[id]
	if t == nil {
		t = &topic{partitions: map[uint32]*meta.Partition{}}
		v.topics[id] = t
	}
	return t
}

// mention notes whom and what a row of a topic that is alive names.
func (v *view) mention(row *meta.Partition) {
	if row.Owner != "" {
		v.owners[row.Owner], v.mentioned[row.Owner] = true, true
	}
	for _, t := range row.Tenures {
		v.mentioned[t.Session] = true
	}
	if row.State != "" {
		v.states[row.State] = true
	}
}

// topic reads a topic, once.
func (v *view) topic(ctx context.Context, id uint32) (*topic, error) {
	if t := v.topics[id]; t != nil {
		return t, nil
	}
	t := &topic{partitions: map[uint32]*meta.Partition{}}
	if !v.complete {
		err := v.rows.Get(ctx, &meta.Tombstone{Topic: id})
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return nil, fmt.Errorf("read tombstone: %w", err)
		}
		t.dead = err == nil
		for row, err := range meta.Query[*meta.Partition](ctx, v.rows, meta.TopicHash(id), 0) {
			if err != nil {
				return nil, fmt.Errorf("read partitions: %w", err)
			}
			t.partitions[row.Partition] = row
		}
	}
	v.topics[id] = t
	return t, nil
}

// covered says that the checkpoints hold all that a journal row commits. That
// stays so: a checkpoint never falls, and a topic that is gone never comes back.
func (v *view) covered(ctx context.Context, row *meta.Entry) (bool, error) {
	for i := range row.Segments {
		commits, err := journal.ParseCommits(row.Segments[i].Commits)
		if err != nil {
			return false, fmt.Errorf("journal %s at %d: %w", row.Session, row.Seq, err)
		}
		for _, c := range commits {
			t, err := v.topic(ctx, c.Topic)
			if err != nil {
				return false, err
			}
			if t.dead || mutation.Off(mutation.TrimEarly) {
				continue
			}
			p := t.partitions[c.Partition]
			if p == nil || c.Base+uint64(c.Records) > p.Checkpoint.End {
				return false, nil
			}
		}
	}
	return true, nil
}

// holds says that a part of a session's merge is named, or may be yet: the
// session that owns the partition may have the compare-and-set under way, and any
// other write to the row makes that one fail (R11).
func (v *view) holds(ctx context.Context, session string, part *index.Part) (bool, error) {
	t, err := v.topic(ctx, part.Topic)
	if err != nil {
		return false, err
	}
	p := t.partitions[part.Partition]
	switch {
	case t.dead:
		return false, nil
	case p == nil:
		return true, nil
	case p.Checkpoint.Names(part.Compaction, part.Base) && part.End() > p.LogStart:
		return true, nil
	default:
		return p.Owner == session && part.Base >= p.Checkpoint.End, nil
	}
}
