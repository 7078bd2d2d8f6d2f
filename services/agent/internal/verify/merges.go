package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// checkParts holds a merge's row against the footer of its object, and against
// the index rows that name it, of which each is one of the sections.
func (m *merged) checkParts(row *meta.Merge, footer *segment.Footer, size int64) error {
	fail := func(at int64, format string, args ...any) *FaultError {
		f := wrong(format, args...).in(m.key, at)
		f.Row = fmt.Sprintf("merge row %s/%d", row.Session, row.Number)
		return &f
	}
	parts, err := index.ParseParts(row.Parts)
	switch {
	case err != nil:
		return fail(0, "%v", err)
	case row.Object != m.key:
		return fail(0, "the row is of another object, %s", row.Object)
	case footer.Number != row.Number:
		return fail(size, "the object's footer has the number %d", footer.Number)
	case len(parts) != len(footer.Sections):
		return fail(size, "the row has %d parts, and the object %d", len(parts), len(footer.Sections))
	}
	at, starts := int64(segment.HeaderSize), make([]int64, len(parts))
	for i := range parts {
		p, s := &parts[i], &footer.Sections[i]
		if p.Topic != s.Topic || p.Partition != s.Partition || p.Records != uint64(s.Records) {
			return fail(at, "part %d of the row has %d records of partition %d of topic %d, and the object %d of partition %d of topic %d",
				i, p.Records, p.Partition, p.Topic, s.Records, s.Partition, s.Topic)
		}
		starts[i] = at
		at += int64(s.Size)
	}
	for i := range m.runs {
		r := &m.runs[i]
		same := func(p index.Part) bool {
			return p.Topic == r.p.row.Topic && p.Partition == r.p.row.Partition && p.Compaction == r.compaction && p.Base == r.base
		}
		n := slices.IndexFunc(parts, same)
		if n < 0 {
			f := fail(0, "no part of the row is what index row %s at %d says of the object", r.row(), r.last).of(r.p, r.base)
			return &f
		}
		r.section, r.starts = &footer.Sections[n], starts[n]
	}
	return nil
}

// checkMerges checks the rows of all merges, and against them the objects that no
// index row names. It lists those.
func (v *verifier) checkMerges(ctx context.Context) error {
	if v.opts.Topic != "" {
		v.done.Add(int64(len(v.unread())))
		return nil
	}
	rows := map[string]*meta.Merge{} // of objects that no index row names
	for row, err := range meta.Scan[*meta.Merge](ctx, v.rows) {
		if err != nil {
			return fmt.Errorf("read merges: %w", err)
		}
		if err := checkMergeRow(row); err != nil {
			return err
		}
		if _, listed := v.merged[row.Object]; listed && !v.read[row.Object] {
			rows[row.Object] = row
		}
	}
	for _, key := range v.unread() {
		if row := rows[key]; row != nil {
			if err := v.checkUnread(ctx, row); err != nil {
				return err
			}
		}
		v.done.Add(1)
		session, _, _ := mergedKey(key)
		v.report.addUnnamed(Unnamed{Key: key, Size: v.merged[key], Sealed: v.sealed[session]})
	}
	return nil
}

// unread are the merged objects that no index row names.
func (v *verifier) unread() []string {
	keys := slices.Sorted(maps.Keys(v.merged))
	return slices.DeleteFunc(keys, func(key string) bool { return v.read[key] })
}

func checkMergeRow(row *meta.Merge) error {
	f := FaultError{Row: fmt.Sprintf("merge row %s/%d", row.Session, row.Number), Key: row.Object}
	if session, number, ok := mergedKey(row.Object); !ok || session != row.Session || number != row.Number {
		f.What = "the row names an object that is not of this merge"
		return &f
	}
	if _, err := index.ParseParts(row.Parts); err != nil {
		f.What = err.Error()
		return &f
	}
	return nil
}

// checkUnread checks the row of a merge that no index row names, if its object
// still stands.
func (v *verifier) checkUnread(ctx context.Context, row *meta.Merge) error {
	m := &merged{key: row.Object, size: v.merged[row.Object]}
	footer, err := readFooter(ctx, v.objects, m.key, m.size)
	var damaged *objectError
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return nil
	case errors.As(err, &damaged):
		f := wrong("%v", err).in(m.key, damaged.at)
		return &f
	case err != nil:
		return fmt.Errorf("read object %s: %w", m.key, err)
	}
	return m.checkParts(row, footer, m.size)
}
