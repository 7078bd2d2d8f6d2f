package index

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// maxTime is the latest timestamp of made logs.
const maxTime = 20

// mixed is a log of which compactions have merged a part, as three of them wrote
// it, and all of its ranges.
type mixed struct {
	rows meta.Store
	row  *meta.Partition
	all  []Range // of the whole log
	tail []Range // those above the checkpoint
}

func makeMixed(t *testing.T, r *rand.Rand) *mixed {
	t.Helper()
	m := &mixed{rows: memory.NewRows(), row: &meta.Partition{Topic: 7, Partition: 3}}
	next := uint64(0)
	for range r.IntN(4) {
		c := meta.Compaction{ID: r.Uint64()}
		for range 1 + r.IntN(5) {
			next = m.addRun(t, r, c.ID, next)
		}
		c.End = next
		m.addRun(t, r, c.ID, next) // what it wrote too much does not count
		m.all = m.all[:len(m.all)-m.blocks(t, c.ID, next)]
		m.row.Checkpoint.Compactions = append(m.row.Checkpoint.Compactions, c)
	}
	m.row.Checkpoint.End = next
	for range r.IntN(10) {
		g := Range{Base: next, Records: 1 + r.Uint32N(5), Size: 10, Segment: &Segment{Key: fmt.Sprint("s", next)}, MaxTimestamp: r.Int64N(maxTime)}
		if r.IntN(3) == 0 {
			g.MaxTimestamp = UnknownTimestamp
		}
		m.tail = append(m.tail, g)
		next = g.End()
	}
	m.all = append(m.all, m.tail...)
	m.row.LogStart = r.Uint64N(next + 1)
	return m
}

func (m *mixed) addRun(t *testing.T, r *rand.Rand, compaction, base uint64) (end uint64) {
	t.Helper()
	row := &meta.Run{Log: meta.RunHash(m.row.Topic, m.row.Partition, compaction), Base: base, Object: fmt.Sprint("o", base), Size: 1 << 20, MaxTimestamp: -1}
	var blocks []Block
	end = base
	for range 1 + r.IntN(4) {
		b := Block{Records: 1 + r.Uint32N(5), Size: 10, MaxTimestamp: r.Int64N(maxTime)}
		blocks = append(blocks, b)
		end += uint64(b.Records)
		row.MaxTimestamp = max(row.MaxTimestamp, b.MaxTimestamp)
	}
	row.Blocks, row.Last = AppendBlocks(nil, blocks), end-1
	if err := m.rows.Create(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	ranges, err := Ranges(row)
	if err != nil {
		t.Fatal(err)
	}
	m.all = append(m.all, ranges...)
	return end
}

// blocks counts those of the row that begins at an offset.
func (m *mixed) blocks(t *testing.T, compaction, base uint64) (n int) {
	t.Helper()
	for row, err := range meta.Query[*meta.Run](t.Context(), m.rows, meta.RunHash(m.row.Topic, m.row.Partition, compaction), base) {
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := ParseBlocks(row.Blocks)
		if err != nil {
			t.Fatal(err)
		}
		n += len(blocks)
	}
	return n
}

func (m *mixed) end() uint64 {
	if len(m.all) == 0 {
		return 0
	}
	return m.all[len(m.all)-1].End()
}

func (m *mixed) open() *Log {
	return Open(m.row, NewRows(m.rows), m.end(), slices.Clone(m.tail), 0)
}

// same says whether two ranges are of the same records in the same place.
func same(a, b Range) bool {
	return a.Base == b.Base && a.Records == b.Records && a.At == b.At && a.Size == b.Size && a.Segment.Key == b.Segment.Key && a.MaxTimestamp == b.MaxTimestamp
}

func gather(seq iter.Seq2[Range, error]) (all []Range, err error) {
	for r, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Since gives exactly the ranges that may hold what is asked for, in order,
// wherever they lie and wherever the log begins.
func TestSince(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := makeMixed(t, r)
		l := m.open()
		for range 10 {
			from := r.Uint64N(m.end() + 1)
			to := from + r.Uint64N(m.end()-from+1)
			timestamp := r.Int64N(maxTime+2) - 1
			var want []Range
			for _, g := range m.all {
				if g.End() > max(from, m.row.LogStart) && g.Base < to && g.MaxTimestamp >= timestamp && max(from, m.row.LogStart) < to {
					want = append(want, g)
				}
			}
			got, err := gather(l.Since(t.Context(), from, to, timestamp))
			if err != nil || !slices.EqualFunc(got, want, same) {
				t.Fatalf("seed %d: from %d to %d since %d, log from %d: %v, %v, want %v", seed, from, to, timestamp, m.row.LogStart, got, err, want)
			}
			if len(want) == 0 {
				continue
			}
			stop := r.IntN(len(want))
			n := 0
			for _, err := range l.Since(t.Context(), from, to, timestamp) {
				if n++; err != nil || n > stop {
					break
				}
			}
			if n != stop+1 {
				t.Fatalf("seed %d: it stopped after %d of %d", seed, n, stop+1)
			}
		}
	}
}

// mid calls a function before a query yields its row of a number.
type mid struct {
	meta.Store
	at   int
	call func()
}

func (m *mid) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	return func(yield func(meta.Row, error) bool) {
		for row, err := range m.Store.Query(ctx, kind, hash, from) {
			if m.at--; m.at == 0 {
				m.call()
				return // nothing more is there
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// fourRows is a log of 4 rows of 2 records, all by one compaction.
func fourRows(t *testing.T) (meta.Store, *meta.Partition) {
	t.Helper()
	rows := memory.NewRows()
	addRows(t, rows, 1)
	return rows, &meta.Partition{Checkpoint: meta.Checkpoint{End: 8, Compactions: []meta.Compaction{{ID: 1, End: 8}}}}
}

func addRows(t *testing.T, rows meta.Store, compaction uint64) {
	t.Helper()
	for base := uint64(0); base < 8; base += 2 {
		if err := rows.Create(t.Context(), &meta.Run{
			Log: meta.RunHash(0, 0, compaction), Base: base, Last: base + 1, Object: fmt.Sprintf("%d-%d", compaction, base), Size: 100,
			Blocks: AppendBlocks(nil, []Block{{Records: 2, Size: 10, MaxTimestamp: 5}}), MaxTimestamp: 5,
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// Rows that go while they are read are no damage where the log says so; else
// they are.
func TestSinceWhileRowsGo(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(row *meta.Partition)
		want   []string // objects
	}{
		"nothing said": {func(*meta.Partition) {}, nil},
		"log start":    {func(row *meta.Partition) { row.LogStart = 6 }, []string{"1-0", "1-6"}},
		"beyond":       {func(row *meta.Partition) { row.LogStart = 8 }, []string{"1-0"}},
		"merged anew":  {func(row *meta.Partition) { row.Checkpoint.Compactions = []meta.Compaction{{ID: 2, End: 8}} }, []string{"1-0", "2-2", "2-4", "2-6"}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, row := fourRows(t)
			addRows(t, rows, 2)
			store := &mid{Store: rows, at: 2}
			l := Open(row, NewRows(store), 8, nil, 0)
			store.call = func() {
				now := *row
				tt.change(&now)
				l.Advance(&now)
			}
			got, err := gather(l.Since(t.Context(), 0, 8, 5))
			var keys []string
			for _, g := range got {
				keys = append(keys, g.Segment.Key)
			}
			if tt.want == nil && !errors.Is(err, ErrCorrupt) || tt.want != nil && (err != nil || !slices.Equal(keys, tt.want)) {
				t.Errorf("%v, %v", keys, err)
			}
		})
	}
}

// What is not as the checkpoint says ends in ErrCorrupt, never in records that
// are passed over.
func TestSinceOfDamage(t *testing.T) {
	for name, change := range map[string]func(run *meta.Run, row *meta.Partition){
		"blocks":        func(run *meta.Run, _ *meta.Partition) { run.Blocks = run.Blocks[:2] },
		"no compaction": func(_ *meta.Run, row *meta.Partition) { row.Checkpoint.End = 9 },
		"another id":    func(_ *meta.Run, row *meta.Partition) { row.Checkpoint.Compactions[0].ID = 3 },
		"a gap":         func(run *meta.Run, _ *meta.Partition) { run.Base++ },
	} {
		rows, row := fourRows(t)
		run := &meta.Run{Log: meta.RunHash(0, 0, 1), Last: 5}
		if err := rows.Get(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		change(run, row)
		if err := rows.Swap(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		if _, err := gather(Open(row, NewRows(rows), 9, nil, 0).Since(t.Context(), 0, 9, 0)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
