package index

import (
	"container/list"
	"context"
	"fmt"
	"sort"
	"sync"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Rows finds what compactions have merged. It reads the index rows that are
// needed, a few at a time, and remembers the last that were. It is safe for
// concurrent use.
type Rows struct {
	store meta.Store
	limit int // of the runs' weights

	mu     sync.Mutex
	logs   map[string][]*list.Element // of *run, sorted by base
	order  list.List                  // the most recently used first
	weight int
}

// run is a row that is remembered.
type run struct {
	log    string
	base   uint64
	end    uint64
	ranges []Range
}

// readRows is how many rows are read at a time.
const readRows = 16

// remembered bounds a Rows: blocks, of some 64 bytes each, and what a row takes
// besides, which is as much as rowWeight blocks.
const (
	remembered = 1 << 18
	rowWeight  = 5
)

func (r *run) weight() int { return rowWeight + len(r.ranges) }

// NewRows reads the index in a store.
func NewRows(store meta.Store) *Rows {
	return &Rows{store: store, limit: remembered, logs: map[string][]*list.Element{}}
}

// find returns the ranges from the one that holds an offset, which lies below
// the checkpoint's end, to the end of its row at least.
func (r *Rows) find(ctx context.Context, topic, partition uint32, c *meta.Checkpoint, offset uint64) ([]Range, error) {
	compaction, ok := c.At(offset)
	if !ok {
		return nil, fmt.Errorf("offset %d: %w: no compaction holds it", offset, ErrCorrupt)
	}
	log := meta.RunHash(topic, partition, compaction.ID)
	found := r.remembered(log, offset)
	if found == nil {
		var err error
		if found, err = r.read(ctx, log, compaction.End, offset); err != nil {
			return nil, err
		}
		if found == nil {
			return nil, fmt.Errorf("offset %d of partition %d of topic %d: %w: no row of compaction %016x holds it", offset, partition, topic, ErrCorrupt, compaction.ID)
		}
	}
	first := sort.Search(len(found), func(i int) bool { return found[i].End() > offset })
	return found[first:], nil
}

func (r *Rows) remembered(log string, offset uint64) []Range {
	r.mu.Lock()
	defer r.mu.Unlock()
	rows := r.logs[log]
	i := sort.Search(len(rows), func(i int) bool { return runOf(rows[i]).end > offset })
	if i == len(rows) || runOf(rows[i]).base > offset {
		return nil
	}
	r.order.MoveToFront(rows[i])
	return runOf(rows[i]).ranges
}

// read reads the row that holds an offset, which it returns, and some that follow
// it.
func (r *Rows) read(ctx context.Context, log string, end, offset uint64) (found []Range, err error) {
	n := 0
	for row, err := range meta.Query[*meta.Run](ctx, r.store, log, offset) {
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		if row.Base >= end || n == readRows {
			return found, nil
		}
		ranges, err := Ranges(row)
		if err != nil {
			return nil, fmt.Errorf("index row %s at %d: %w", log, row.Last, err)
		}
		if n == 0 && row.Base <= offset {
			found = ranges
		}
		r.remember(&run{log: log, base: row.Base, end: row.Last + 1, ranges: ranges})
		n++
	}
	return found, nil
}

func (r *Rows) remember(added *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rows := r.logs[added.log]
	i := sort.Search(len(rows), func(i int) bool { return runOf(rows[i]).base >= added.base })
	if i < len(rows) && runOf(rows[i]).base == added.base {
		return
	}
	e := r.order.PushFront(added)
	rows = append(rows, nil)
	copy(rows[i+1:], rows[i:])
	rows[i] = e
	r.logs[added.log] = rows
	r.weight += added.weight()
	for r.weight > r.limit && r.order.Len() > 1 {
		r.forgetLocked(r.order.Back())
	}
}

func (r *Rows) forgetLocked(e *list.Element) {
	old := runOf(e)
	r.order.Remove(e)
	r.weight -= old.weight()
	rows := r.logs[old.log]
	i := sort.Search(len(rows), func(i int) bool { return runOf(rows[i]).base >= old.base })
	if rows = append(rows[:i], rows[i+1:]...); len(rows) == 0 {
		delete(r.logs, old.log)
	} else {
		r.logs[old.log] = rows
	}
}

func runOf(e *list.Element) *run { return e.Value.(*run) } //nolint:forcetypeassert // only remember fills the list
