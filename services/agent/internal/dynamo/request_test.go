package dynamo_test

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// commit is a journal row as an agent writes it, with commits of some bytes.
func commit(seq uint64, commits int) *meta.Entry {
	session := hex.EncodeToString(make([]byte, 16))
	return &meta.Entry{
		Session: session, Seq: seq,
		Segments: []meta.Segment{{Key: session + "/000000000000-0123456789ab", Size: 4 << 20, Commits: make([]byte, commits)}},
	}
}

// A flush costs one request, and a write unit for every 32 partitions.
func TestUnitsOfACommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store(t)
	for partitions, want := range map[int]float64{1: 1, 16: 1, 32: 1, 64: 2, 256: 7} {
		w.seen.take()
		// 24 bytes is the most that a partition takes.
		mustCreate(t, s, commit(1e9+uint64(partitions), 3+24*partitions))
		sent := w.seen.take()
		if len(sent) != 1 || sent[0].WriteUnits != want || sent[0].WriteUnits > float64((partitions+31)/32) {
			t.Errorf("%d partitions: %+v, want one request of %v units", partitions, sent, want)
		}
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store(t)
	row := commit(0, 10_000)
	for _, c := range []struct {
		name        string
		do          func() error
		operation   string
		write, read float64
	}{
		{"create", func() error { return s.Create(t.Context(), row) }, "PutItem", 10, 0},
		{"create again", func() error { return s.Create(t.Context(), commit(0, 0)) }, "PutItem", 10, 0},
		{"swap", func() error { return s.Swap(t.Context(), row) }, "PutItem", 10, 0},
		{"get", func() error { return s.Get(t.Context(), row) }, "GetItem", 0, 3},
		{"get nothing", func() error { return s.Get(t.Context(), commit(1, 0)) }, "GetItem", 0, 1},
		{"query", func() error { count(t, meta.Query[*meta.Entry](t.Context(), s, row.Session, 0)); return nil }, "Query", 0, 3},
		{"query nothing", func() error { count(t, meta.Query[*meta.Entry](t.Context(), s, "none", 0)); return nil }, "Query", 0, 1},
		{"scan", func() error { count(t, meta.Scan[*meta.Entry](t.Context(), s)); return nil }, "Scan", 0, 3},
		{"delete", func() error { return s.Delete(t.Context(), row) }, "DeleteItem", 10, 0},
		{"delete nothing", func() error { return s.Delete(t.Context(), row) }, "DeleteItem", 1, 0},
	} {
		w.seen.take()
		err := c.do()
		sent := w.seen.take()
		if len(sent) != 1 {
			t.Fatalf("%s: %d requests", c.name, len(sent))
		}
		r := sent[0]
		if r.Operation != c.operation || r.Kind != meta.Journal || r.WriteUnits != c.write || r.ReadUnits != c.read {
			t.Errorf("%s: observed %+v, want %s, %v write and %v read units", c.name, r, c.operation, c.write, c.read)
		}
		if refused := errors.Is(err, meta.ErrExists) || errors.Is(err, meta.ErrConflict); r.Refused != refused {
			t.Errorf("%s: refused is %v after %v", c.name, r.Refused, err)
		}
	}
}

// Throttled requests are seen as such and cost nothing.
func TestThrottledIsObserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store(t)
	w.seen.take()
	rule := clearFaults["throttled"]
	rule.Times = 2
	w.set(t, rule)
	mustCreate(t, s, &meta.Session{ID: "s"})
	throttled := 0
	for _, r := range w.seen.take() {
		if r.Throttled && r.WriteUnits == 0 && r.Err != nil {
			throttled++
		}
	}
	if throttled != 2 {
		t.Errorf("observed %d throttled requests, want 2", throttled)
	}
}

// The journal of 4 MB is read in pages of 1 MB, by what its bytes cost.
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store(t)
	const rows, size = 64, 64 << 10
	for seq := range uint64(rows) {
		mustCreate(t, s, commit(seq, size))
	}
	w.seen.take()
	if n := count(t, meta.Query[*meta.Entry](t.Context(), s, commit(0, 0).Session, 0)); n != rows {
		t.Errorf("got %d rows, want %d", n, rows)
	}
	sent := w.seen.take()
	units := 0.0
	for _, r := range sent {
		units += r.ReadUnits
	}
	if len(sent) > 5 || units < rows*size/4096 || units > rows*size/4096*1.02 {
		t.Errorf("%d requests and %v read units for %d KB: %+v", len(sent), units, rows*size>>10, sent)
	}
}

// A row that does not fit is refused before it is sent; the largest journal
// row that the constant promises does fit.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store(t)
	largest := commit(1<<63, dynamo.MaxCommits)
	for range journal.MaxSegments - 1 {
		largest.Segments = append(largest.Segments, commit(0, 0).Segments...)
	}
	mustCreate(t, s, largest)
	w.seen.take()
	err := s.Create(t.Context(), commit(1, dynamo.MaxItem))
	if !errors.Is(err, meta.ErrTooLarge) || !strings.Contains(err.Error(), "409600") {
		t.Errorf("create: got %v, want ErrTooLarge and the limit", err)
	}
	largest.Segments[0].Commits = make([]byte, dynamo.MaxItem)
	if err := s.Swap(t.Context(), largest); !errors.Is(err, meta.ErrTooLarge) || largest.Version != 1 {
		t.Errorf("swap: got %v, want ErrTooLarge", err)
	}
	if sent := w.seen.take(); len(sent) != 0 {
		t.Errorf("sent %+v", sent)
	}
	// As many partitions as a row may name fit at 24 bytes each.
	if most := 3 + 24*journal.MaxCommits; most > dynamo.MaxCommits {
		t.Errorf("%d bytes of commits do not fit into %d", most, dynamo.MaxCommits)
	}
}

// No row has an attribute with the name of the write's token.
func TestTokenIsFree(t *testing.T) {
	t.Parallel()
	for _, kind := range meta.Kinds() {
		row, err := meta.New(kind)
		if err != nil {
			t.Fatal(err)
		}
		for field := range reflect.TypeOf(row).Elem().Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("dynamodbav"), ","); name == dynamo.Token {
				t.Errorf("%s rows have an attribute %q", kind, name)
			}
		}
	}
}
