package index

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// merged is a partition of which all but a tail was merged, by several
// compactions, some of whose rows nobody named.
type merged struct {
	row  *meta.Partition
	rows *memory.Rows
	tail []Range
	end  uint64
}

func newMerged(t *testing.T, r *rand.Rand) *merged {
	t.Helper()
	m := &merged{row: &meta.Partition{Topic: 3, Partition: 7}, rows: memory.NewRows()}
	put := func(id, base uint64) (next uint64) {
		run := &meta.Run{Log: meta.RunHash(3, 7, id), Base: base, Object: fmt.Sprintf("%d/%d", id, base), At: 32, Size: 32}
		var blocks []Block
		next = base
		for range 1 + r.IntN(5) {
			b := Block{Records: 1 + uint32(r.IntN(9)), Size: 10 + uint32(r.IntN(90)), MaxTimestamp: 1}
			blocks = append(blocks, b)
			next += uint64(b.Records)
			run.Size += int64(b.Size)
		}
		run.Blocks, run.Last = AppendBlocks(nil, blocks), next-1
		if err := m.rows.Create(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		return next
	}
	for id := range uint64(1 + r.IntN(5)) {
		for range 1 + r.IntN(30) {
			m.end = put(id+1, m.end)
		}
		m.row.Checkpoint.Compactions = append(m.row.Checkpoint.Compactions, meta.Compaction{ID: id + 1, End: m.end})
		put(id+1, m.end) // broken off
		put(id+100, m.end)
	}
	m.row.Checkpoint.End = m.end
	for range r.IntN(10) {
		g := Range{Base: m.end, Records: 1 + uint32(r.IntN(5)), Size: 20, Segment: &Segment{Key: "tail"}}
		m.tail = append(m.tail, g)
		m.end = g.End()
	}
	return m
}

// Whatever is asked for, ranges follow each other from the one that holds the
// offset, and only what a checkpoint names is among them.
func TestFindOlder(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 5))
		m := newMerged(t, r)
		older := NewRows(m.rows)
		older.limit = 1 + r.IntN(40)
		log := Open(m.row, older, m.end, m.tail, 0)
		for range 200 {
			offset, limit := r.Uint64N(m.end+1), r.IntN(2000)
			got, err := log.Find(t.Context(), offset, limit)
			if err != nil || len(got) == 0 && offset < m.end {
				t.Fatalf("seed %d: offset %d of %d: %d ranges, %v", seed, offset, m.end, len(got), err)
			}
			next, bytes := offset, 0
			for i, g := range got {
				if g.Base > next || g.End() <= next || i > 0 && g.Base != next {
					t.Fatalf("seed %d: range %d of %d holds %d to %d, and %d is due", seed, i, len(got), g.Base, g.End(), next)
				}
				if c, ok := m.row.Checkpoint.At(g.Base); ok && !strings.HasPrefix(g.Segment.Key, fmt.Sprintf("%d/", c.ID)) {
					t.Fatalf("seed %d: range %d is of a compaction that nobody named: %s", seed, i, g.Segment.Key)
				}
				next = g.End()
				bytes += int(g.Size)
			}
			if len(got) > 1 && bytes > limit {
				t.Fatalf("seed %d: %d bytes, and %d were asked for", seed, bytes, limit)
			}
			if offset > 0 {
				if g, ok := log.Before(t.Context(), offset); !ok || g.Base >= offset || g.End() < offset {
					t.Fatalf("seed %d: before %d stands %+v, %t", seed, offset, g, ok)
				}
			}
			if older.weight > older.limit+5+rowWeight {
				t.Fatalf("seed %d: a weight of %d is remembered, and the limit is %d", seed, older.weight, older.limit)
			}
		}
		n := 0
		for _, rows := range older.logs {
			n += len(rows)
		}
		if n != older.order.Len() {
			t.Fatalf("seed %d: %d rows are found, and %d remembered", seed, n, older.order.Len())
		}
	}
}

// Who reads in order reads each row once, a few at a time.
func TestOlderInOrder(t *testing.T) {
	m := newMerged(t, rand.New(rand.NewPCG(2, 5)))
	counter := faults.New(faults.Plan{})
	log := Open(m.row, NewRows(counter.Rows(m.rows)), m.end, m.tail, 0)
	for offset := uint64(0); offset < m.row.Checkpoint.End; {
		got, err := log.Find(t.Context(), offset, 1)
		if err != nil {
			t.Fatal(err)
		}
		offset = got[0].End()
	}
	if n, most := counter.Ops()[faults.RowQuery], uint64(len(m.row.Checkpoint.Compactions)*3); n > most {
		t.Errorf("%d queries, want at most %d", n, most)
	}
}

// A row that is missing, or says what cannot be, is damage and nothing else.
func TestOlderMissing(t *testing.T) {
	m := newMerged(t, rand.New(rand.NewPCG(1, 5)))
	for row, err := range meta.Scan[*meta.Run](t.Context(), m.rows) {
		if err != nil {
			t.Fatal(err)
		}
		if row.Base == 0 && row.Log == meta.RunHash(3, 7, 1) {
			if err := m.rows.Delete(t.Context(), row); err != nil {
				t.Fatal(err)
			}
		}
	}
	log := Open(m.row, NewRows(m.rows), m.end, m.tail, 0)
	if _, err := log.Find(t.Context(), 0, 1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// When the checkpoint moves, what it covers leaves memory, and the rest stays.
func TestAdvance(t *testing.T) {
	var ranges []Range
	for base := range uint64(10) {
		ranges = append(ranges, Range{Base: base, Records: 1, Size: 7, Segment: &Segment{Key: "a"}})
	}
	log := Open(&meta.Partition{}, nil, 10, ranges, 0)
	log.Advance(&meta.Partition{LogStart: 2, Checkpoint: meta.Checkpoint{End: 6}})
	tail := log.Tail()
	if start, end := log.Bounds(); start != 2 || end != 10 || len(tail.Ranges) != 4 || tail.Bytes != 28 || tail.Ranges[0].Base != 6 {
		t.Errorf("%d to %d, with %+v", start, end, tail)
	}
	log.Advance(&meta.Partition{LogStart: 1, Checkpoint: meta.Checkpoint{End: 4}}) // late
	if again := log.Tail(); again.Checkpoint.End != 6 || len(again.Ranges) != 4 {
		t.Errorf("an older checkpoint moved it back: %+v", again)
	}
	if start, _ := log.Bounds(); start != 2 {
		t.Errorf("the log start fell to %d", start)
	}
}
