package verify

import (
	"context"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// indexWalk follows a partition's index rows from one offset to the checkpoint.
type indexWalk struct {
	*verifier
	p     *partition
	row   *meta.Partition // whose checkpoint is followed
	due   uint64          // the offset at which the next row must begin
	begun bool            // else the first may begin before due: it holds the log start
	total uint64          // of the row before
}

// walkIndex follows the index rows of all partitions and checks the objects that
// they name.
func (v *verifier) walkIndex(ctx context.Context) error {
	for _, p := range v.sorted() {
		covered, err := v.walkRows(ctx, p, p.row, p.row.LogStart)
		if err != nil {
			return err
		}
		p.cover(covered)
	}
	return v.checkMerged(ctx)
}

// walkRows follows the rows of one partition, from due to the checkpoint of row,
// or to a later one if the row has moved on. It returns that.
func (v *verifier) walkRows(ctx context.Context, p *partition, row *meta.Partition, due uint64) (*meta.Checkpoint, error) {
	w := &indexWalk{verifier: v, p: p, row: row, due: due, total: p.total}
	w.begun = due > row.LogStart
	for !p.gone && w.due < w.row.Checkpoint.End {
		if err := w.compaction(ctx); err != nil {
			return nil, err
		}
	}
	c := &w.row.Checkpoint
	if w.begun && !p.gone && w.total != c.Bytes {
		f := wrong("its row counts %d bytes of batches below offset %d, and its index %d", c.Bytes, c.End, w.total).of(p, c.End)
		return nil, &f
	}
	return c, nil
}

// compaction follows the rows of the compaction that holds what is due, as far as
// they count.
func (w *indexWalk) compaction(ctx context.Context) error {
	c, from := compactionAt(&w.row.Checkpoint, w.due)
	for row, err := range meta.Query[*meta.Run](ctx, w.rows, meta.RunHash(w.p.row.Topic, w.p.row.Partition, c.ID), w.due) {
		switch {
		case err != nil:
			return fmt.Errorf("read the index of partition %d of topic %s: %w", w.p.row.Partition, w.p.topic, err)
		case row.Base < from:
			continue
		case row.Base > w.due: // or, with those at c.End and beyond, of no account
			return w.missing(ctx, c)
		}
		if err := w.take(ctx, c, row); err != nil {
			return err
		}
		if w.due >= c.End {
			return nil
		}
	}
	return w.missing(ctx, c)
}

// compactionAt returns the compaction whose rows hold an offset below the
// checkpoint's end, and the offset from which on its rows count.
func compactionAt(c *meta.Checkpoint, offset uint64) (_ meta.Compaction, from uint64) {
	for _, g := range c.Compactions {
		if offset < g.End {
			return g, from
		}
		from = g.End
	}
	return meta.Compaction{End: c.End}, from
}

// missing is that no row holds what is due. It is a fault while the partition's
// row, read again, still names such a row.
func (w *indexWalk) missing(ctx context.Context, c meta.Compaction) error {
	now, err := w.again(ctx, w.p)
	if err != nil || w.p.gone {
		return err
	}
	if !names(now, c.ID, w.due) {
		w.row = now
		if now.LogStart > w.due {
			w.due, w.begun = now.LogStart, false
		}
		return nil
	}
	f := wrong("no index row of compaction %016x holds this offset, and the checkpoint is at %d", c.ID, w.row.Checkpoint.End).of(w.p, w.due)
	return &f
}

// take checks a row by itself and against the one before it.
func (w *indexWalk) take(ctx context.Context, c meta.Compaction, row *meta.Run) error {
	fail := func(offset uint64, format string, args ...any) error {
		f := wrong(format, args...).of(w.p, offset).named(row.Object, row.Log, row.Last)
		return &f
	}
	ranges, err := index.Ranges(row)
	if err != nil {
		return fail(row.Base, "%v", err)
	}
	size, latest := uint64(0), ranges[0].MaxTimestamp
	for i := range ranges {
		size += uint64(ranges[i].Size)
		latest = max(latest, ranges[i].MaxTimestamp)
	}
	if !w.begun && (row.Base > 0 || row.Total == size) {
		w.total = row.Total - size // what was before it is no longer known
	}
	switch _, _, ok := mergedKey(row.Object); {
	case !ok:
		return fail(row.Base, "it names an object that is not of a compaction")
	case w.begun && row.Base < w.due:
		return fail(row.Base, "it begins at offset %d, where %d is due: what is between is in the row before it", row.Base, w.due)
	case row.Last >= c.End:
		return fail(c.End, "it reaches up to offset %d, and its compaction ends at %d", row.Last, c.End)
	case row.Total < size || row.Total != w.total+size:
		return fail(row.Base, "it counts %d bytes of batches up to its end, and there are %d", row.Total, w.total+size)
	case row.MaxTimestamp != latest:
		return fail(row.Base, "its latest timestamp is %d, and that of its blocks is %d", row.MaxTimestamp, latest)
	}
	w.due, w.begun, w.total = row.Last+1, true, row.Total
	w.report.IndexRows++
	return w.expect(ctx, w.p, c.ID, row)
}
