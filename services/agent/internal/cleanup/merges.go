package cleanup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// merges is what is remembered of a session's merges. Each is remembered by one of
// its parts: while that one is named there is no need to read the row.
type merges struct {
	read bool   // all that stood
	next uint64 // the number of the next one, while the session works
	held []merge
}

type merge struct {
	number uint64
	part   index.Part
	since  time.Time // when no part was named any more; zero while one is
	size   int64     // of the object, from then on
	gone   bool      // it is to be forgotten
}

// maxMerges bounds the merges that are remembered, some 100 bytes each. Those
// beyond wait until others are gone.
const maxMerges = 1 << 20

// recentMerges are read again now and then: the row of one that was given up may
// stand later than those that follow it.
const recentMerges = 1000

// recent is the number from which on merges are to be read, again those of late
// if the pass looks closely.
func (m *merges) recent(closely bool) uint64 {
	if closely {
		return m.next - min(m.next, recentMerges)
	}
	return m.next
}

// readMerges reads the merges that a session noted from a number on.
func (c *Cleaner) readMerges(ctx context.Context, s *session, from uint64) error {
	i, _ := slices.BinarySearchFunc(s.merges.held, from, func(m merge, n uint64) int { return cmp.Compare(m.number, n) })
	old := slices.Clone(s.merges.held[i:])
	s.merges.held = s.merges.held[:i]
	c.held -= len(old)
	for row, err := range meta.Query[*meta.Merge](ctx, c.deps.Rows, s.id, from) {
		if err == nil {
			err = c.remember(s, row, old)
		}
		if err != nil {
			s.merges.read = false
			return fmt.Errorf("read merges of session %s: %w", s.id, err)
		}
	}
	s.merges.read = true
	return nil
}

// remember notes a merge, which may be in old already: numbers rise.
func (c *Cleaner) remember(s *session, row *meta.Merge, old []merge) error {
	s.merges.next = max(s.merges.next, row.Number+1)
	if c.held >= maxMerges {
		return nil
	}
	i, known := slices.BinarySearchFunc(old, row.Number, func(m merge, n uint64) int { return cmp.Compare(m.number, n) })
	if known {
		s.merges.held = append(s.merges.held, old[i])
		c.held++
		return nil
	}
	parts, err := index.ParseParts(row.Parts)
	if err != nil {
		return fmt.Errorf("merge %d: %w", row.Number, err)
	}
	m := merge{number: row.Number}
	if len(parts) > 0 {
		m.part = parts[0]
	}
	s.merges.held = append(s.merges.held, m)
	c.held++
	return nil
}

// judgeMerges removes those of a session's merges of which nothing is named.
func (c *Cleaner) judgeMerges(ctx context.Context, s *session, v *view) error {
	var errs []error
	before := len(s.merges.held)
	for i := range s.merges.held {
		if ctx.Err() != nil {
			break
		}
		m := &s.merges.held[i]
		if m.since.IsZero() && m.part.Records > 0 {
			held, err := v.holds(ctx, s.id, &m.part)
			if err != nil {
				errs = append(errs, err)
				break
			}
			if held {
				continue
			}
		}
		if !m.since.IsZero() && (!c.due(m.since) || c.late()) {
			c.waits(MergedObject, Expired, 1, m.size, m.since)
			continue
		}
		if err := c.judgeMerge(ctx, s.id, m, v); err != nil {
			errs = append(errs, fmt.Errorf("merge %d of session %s: %w", m.number, s.id, err))
		}
	}
	s.merges.held = slices.DeleteFunc(s.merges.held, func(m merge) bool { return m.gone })
	c.held -= before - len(s.merges.held)
	return errors.Join(append(errs, ctx.Err())...)
}

// judgeMerge looks for a part that is named, and removes the merge if there is
// none.
func (c *Cleaner) judgeMerge(ctx context.Context, id string, m *merge, v *view) error {
	row := &meta.Merge{Session: id, Number: m.number}
	if err := c.deps.Rows.Get(ctx, row); errors.Is(err, meta.ErrNotFound) {
		m.gone = true
		return nil
	} else if err != nil {
		return fmt.Errorf("read merge: %w", err)
	}
	parts, err := index.ParseParts(row.Parts)
	if err != nil {
		return err
	}
	for i := range parts {
		held, err := v.holds(ctx, id, &parts[i])
		if err != nil {
			return err
		}
		if held {
			m.part, m.since = parts[i], time.Time{}
			return nil
		}
	}
	if m.since.IsZero() {
		m.since = time.Now()
		m.size = c.sizeOf(ctx, row.Object, parts)
	}
	if !c.due(m.since) || c.late() {
		c.waits(MergedObject, Expired, 1, m.size, m.since)
		return nil
	}
	if err := c.removeMerge(ctx, row, parts, m.size); err != nil {
		return err
	}
	m.gone = true
	return nil
}

// sizeOf is an object's size, from the first row of the index that tells; 0 where
// none does.
func (c *Cleaner) sizeOf(ctx context.Context, object string, parts []index.Part) int64 {
	for i := range parts {
		if row, err := c.run(ctx, object, &parts[i]); err == nil && row != nil {
			return row.Size
		}
	}
	return 0
}

// run reads the row of the index that a merge made for a part; nil where there is
// none.
func (c *Cleaner) run(ctx context.Context, object string, p *index.Part) (*meta.Run, error) {
	if p.Records == 0 {
		return nil, nil //nolint:nilnil // a part without records has no row
	}
	row := &meta.Run{Log: meta.RunHash(p.Topic, p.Partition, p.Compaction), Last: p.End() - 1}
	if err := c.pace.wait(ctx); err != nil {
		return nil, err
	}
	err := c.deps.Rows.Get(ctx, row)
	if errors.Is(err, meta.ErrNotFound) || err == nil && row.Object != object {
		return nil, nil //nolint:nilnil // the merge ended before it
	}
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return row, nil
}

// removeMerge removes the rows of the index, then the object, then the merge's
// own row, which says until then that something is left.
func (c *Cleaner) removeMerge(ctx context.Context, row *meta.Merge, parts []index.Part, size int64) error {
	for i := range parts {
		run, err := c.run(ctx, row.Object, &parts[i])
		if err != nil {
			return err
		}
		if run == nil {
			continue
		}
		if err := c.removeRow(ctx, run, Action{What: IndexRow, Key: fmt.Sprintf("%s/%d", run.Log, run.Last), Why: Expired}); err != nil {
			return err
		}
	}
	if err := c.removeObjects(ctx, []Action{{What: MergedObject, Key: row.Object, Bytes: size, Why: Expired}}); err != nil {
		return err
	}
	return c.removeRow(ctx, row, Action{What: MergeRow, Key: fmt.Sprintf("%s/%d", row.Session, row.Number), Why: Expired})
}
