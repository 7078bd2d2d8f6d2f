package cleanup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
)

// trimming is how far a session's journal was seen to be covered, and when.
type trimming struct {
	marks []mark // oldest first, higher and higher
}

// mark says that all rows below seq may go, since a time.
type mark struct {
	seq  uint64
	at   time.Time
	rows int // since the mark before it
	size int64
}

// marksPerGrace bounds how many marks a session has.
const marksPerGrace = 8

// top is the seq below which all rows were seen to be covered.
func (t *trimming) top() uint64 {
	if n := len(t.marks); n > 0 {
		return t.marks[n-1].seq
	}
	return 0
}

// trimJournal removes the beginning of a journal with the segments that the rows
// name, and these from objects. It returns the seq below which no row is left.
func (c *Cleaner) trimJournal(ctx context.Context, s *session, v *view, objects candidates) (uint64, error) {
	t := &s.trim
	if n := len(t.marks); n == 0 || time.Since(t.marks[n-1].at) >= c.opts.Grace/marksPerGrace {
		m, err := c.lookAhead(ctx, s.id, t.top(), v)
		if err != nil {
			return 0, err
		}
		if m.at = time.Now(); m.seq > t.top() {
			t.marks = append(t.marks, m)
		}
	}
	due := slices.IndexFunc(t.marks, func(m mark) bool { return !c.due(m.at) })
	if due < 0 {
		due = len(t.marks)
	}
	to := uint64(0)
	if due > 0 {
		to = t.marks[due-1].seq
		done, err := c.removePrefix(ctx, s.id, to, objects)
		if err != nil || !done {
			c.marksWait(t.marks)
			return 0, err
		}
		t.marks = t.marks[due:]
	}
	c.marksWait(t.marks)
	return to, nil
}

func (c *Cleaner) marksWait(marks []mark) {
	for _, m := range marks {
		c.waits(JournalRow, Merged, m.rows, m.size, m.at)
	}
}

// lookAhead finds how far a journal is covered, from the row at a seq on. A row
// may go once a later one was seen: the newest of a session that may append must
// stay, or whoever seals it would look for its end in the wrong place, and so
// must the seal (R10). A seal that a row follows seals nothing; see journal.Read.
func (c *Cleaner) lookAhead(ctx context.Context, id string, from uint64, v *view) (mark, error) {
	m := mark{seq: from}
	var size int64
	first := true
	for row, err := range meta.Query[*meta.Entry](ctx, c.deps.Rows, id, from) {
		if err != nil {
			return m, fmt.Errorf("read journal %s: %w", id, err)
		}
		if m.seq = row.Seq; !first {
			m.rows++
			m.size += size
		}
		first = false
		if row.Seal && mutation.Off(mutation.SealByAge) {
			m.seq++
			m.rows++
			return m, nil
		}
		if covered, err := v.covered(ctx, row); err != nil || !covered || c.late() {
			return m, err
		}
		size = 0
		for i := range row.Segments {
			size += row.Segments[i].Size
		}
	}
	return m, nil
}

// removePrefix removes the rows below a seq, in order and one after the other:
// a journal has no gap but at its beginning. What a crash leaves of the segments
// is found by the listing.
func (c *Cleaner) removePrefix(ctx context.Context, id string, to uint64, objects candidates) (done bool, err error) {
	var segments []Action
	flush := func() error {
		err := c.removeObjects(ctx, segments)
		segments = segments[:0]
		return err
	}
	for row, err := range meta.Query[*meta.Entry](ctx, c.deps.Rows, id, 0) {
		if err != nil {
			return false, fmt.Errorf("read journal %s: %w", id, err)
		}
		if row.Seq >= to {
			break
		}
		if c.late() {
			return false, flush()
		}
		if err := c.removeRow(ctx, row, Action{What: JournalRow, Key: fmt.Sprintf("%s/%d", id, row.Seq), Why: Merged}); err != nil {
			return false, err
		}
		for i := range row.Segments {
			delete(objects, row.Segments[i].Key)
			segments = append(segments, Action{What: Segment, Key: row.Segments[i].Key, Bytes: row.Segments[i].Size, Why: Merged})
		}
		if len(segments) >= maxBatch {
			if err := flush(); err != nil {
				return false, err
			}
		}
	}
	return true, flush()
}
