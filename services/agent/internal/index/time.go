package index

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Since yields, in order, the ranges between two offsets that may hold a record
// of a timestamp or of a later one. It reads the index row by row, and never
// holds more than one of them. What the log lets go meanwhile is left out; after
// an error nothing more is yielded.
func (l *Log) Since(ctx context.Context, from, to uint64, timestamp int64) iter.Seq2[Range, error] {
	return func(yield func(Range, error) bool) {
		s := since{log: l, next: from, to: to, timestamp: timestamp, yield: yield}
		for s.next < s.to && !s.done {
			if err := s.step(ctx); err != nil {
				yield(Range{}, err)
				return
			}
		}
	}
}

// since is one pass over a log.
type since struct {
	log       *Log
	next, to  uint64 // what is still to be looked at
	timestamp int64
	yield     func(Range, error) bool
	done      bool // nobody wants more
}

// step passes over what one compaction wrote, or over the rest in memory.
func (s *since) step(ctx context.Context) error {
	start, checkpoint, tail := s.log.parts()
	if s.next = max(s.next, start); s.next >= s.to {
		return nil
	}
	if s.next >= checkpoint.End {
		s.pass(tail)
		s.next = s.to
		return nil
	}
	c, ok := checkpoint.At(s.next)
	if !ok {
		return fmt.Errorf("offset %d: %w: no compaction holds it", s.next, ErrCorrupt)
	}
	for row, err := range s.log.older.runs(ctx, s.log.topic, s.log.partition, c, s.next) {
		if err != nil {
			return s.explain(c, err)
		}
		if row.MaxTimestamp >= s.timestamp {
			ranges, err := Ranges(row)
			if err != nil {
				return fmt.Errorf("index row %s at %d: %w", row.Log, row.Last, err)
			}
			s.pass(ranges)
		}
		if s.next = row.Last + 1; s.done || s.next >= s.to {
			return nil
		}
	}
	return nil
}

// explain tells rows that went while they were read, because the log begins
// later now or another compaction has what they had, from those that are lost.
func (s *since) explain(c meta.Compaction, err error) error {
	start, checkpoint, _ := s.log.parts()
	now, _ := checkpoint.At(s.next)
	if errors.Is(err, ErrCorrupt) && (start > s.next || now != c) {
		return nil // the next step looks anew
	}
	return err
}

// pass yields those of ranges that matter.
func (s *since) pass(ranges []Range) {
	for _, r := range ranges {
		if s.done || r.Base >= s.to {
			return
		}
		if r.End() > s.next && r.MaxTimestamp >= s.timestamp {
			s.done = !s.yield(r, nil)
		}
	}
}

// parts returns where the log begins, its checkpoint, and what is above that.
// Nobody changes them.
func (l *Log) parts() (start uint64, checkpoint meta.Checkpoint, tail []Range) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start, l.checkpoint, slices.Clip(l.ranges)
}

// runs yields a compaction's rows from the one that holds an offset on, to its
// end. They are not remembered: who passes over a log would drive out what
// others need. A row that is missing ends it with ErrCorrupt.
func (r *Rows) runs(ctx context.Context, topic, partition uint32, c meta.Compaction, offset uint64) iter.Seq2[*meta.Run, error] {
	return func(yield func(*meta.Run, error) bool) {
		log := meta.RunHash(topic, partition, c.ID)
		for row, err := range meta.Query[*meta.Run](ctx, r.store, log, offset) {
			switch {
			case err != nil:
				yield(nil, fmt.Errorf("read index: %w", err))
				return
			case row.Base > offset:
				yield(nil, missingRun(topic, partition, c, offset))
				return
			case !yield(row, nil):
				return
			}
			if offset = row.Last + 1; offset >= c.End {
				return
			}
		}
		yield(nil, missingRun(topic, partition, c, offset))
	}
}

func missingRun(topic, partition uint32, c meta.Compaction, offset uint64) error {
	return fmt.Errorf("offset %d of partition %d of topic %d: %w: no row of compaction %016x holds it", offset, partition, topic, ErrCorrupt, c.ID)
}
