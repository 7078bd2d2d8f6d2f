package metatest

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

var queryChecks = []check{
	{"QueryOrder", queryOrder},
	{"QueryOnlyThisHash", queryOnlyThisHash},
	{"QueryMany", queryMany},
	{"QueryStops", queryStops},
	{"QueryWhileWriting", queryWhileWriting},
	{"QueryOwnType", queryOwnType},
	{"Scan", scan},
	{"UnknownKind", unknownKind},
}

// Ranges are numbers, not text: 10 comes after 9, and the largest last.
func queryOrder(t *testing.T, s meta.Store) {
	sorted := []uint64{0, 1, 2, 9, 10, 11, 255, 256, 65535, 65536, 1 << 40, math.MaxInt64, 1 << 63, math.MaxUint64}
	for _, i := range []int{7, 0, 13, 3, 9, 1, 12, 5, 2, 10, 4, 11, 6, 8} {
		mustCreate(t, s, entry("s", sorted[i]))
	}
	for i, from := range sorted {
		wantSeqs(t, s, "s", from, sorted[i:])
		if from > 0 && from-1 != sorted[i-1] {
			wantSeqs(t, s, "s", from-1, sorted[i:])
		}
	}
}

// Hashes that begin alike, or hold the bytes that a backend may join its keys
// with, stay apart.
func queryOnlyThisHash(t *testing.T, s meta.Store) {
	hashes := []string{
		"s", "s1", "sa", "t", "s/", "s\x00", "s\x00\x00", "s\x00\x01", "s\x01", "s#0", "s|", "é", "\x00", "\x01",
		"s\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	}
	for i, hash := range hashes {
		mustCreate(t, s, entry(hash, uint64(i)), entry(hash, 1000))
	}
	for i, hash := range hashes {
		wantSeqs(t, s, hash, 0, []uint64{uint64(i), 1000})
		wantSeqs(t, s, hash, 1001, nil)
	}
	wantSeqs(t, s, "none", 0, nil)
	mustCreate(t, s, &meta.Session{ID: "none"})
	wantSeqs(t, s, "none", 0, nil)
}

// A takeover reads more rows than a page of any backend holds, some large.
func queryMany(t *testing.T, s meta.Store) {
	const rows = 1500
	var all []meta.Row
	var want []uint64
	for seq := range uint64(rows) {
		row := entry("s", seq)
		if seq%10 == 0 {
			row.Segments = []meta.Segment{{Key: "s/1", Commits: make([]byte, 10_000)}}
		}
		all = append(all, row)
		want = append(want, seq)
	}
	createAll(t, s, all)
	wantSeqs(t, s, "s", 0, want)
	wantSeqs(t, s, "s", 700, want[700:])
}

func queryStops(t *testing.T, s meta.Store) {
	for seq := range uint64(5) {
		mustCreate(t, s, entry("s", seq))
	}
	for name, rows := range map[string]iter.Seq2[meta.Row, error]{
		"query": s.Query(t.Context(), meta.Journal, "s", 0),
		"scan":  s.Scan(t.Context(), meta.Journal),
	} {
		seen := 0
		for _, err := range rows {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == 2 {
				break
			}
		}
		if seen != 2 {
			t.Errorf("%s: saw %d rows before the stop, want 2", name, seen)
		}
	}
}

// Trimming deletes what it reads, in one loop. No row that stood before the
// query may be missing in it, and a backend must not wait for itself.
func queryWhileWriting(t *testing.T, s meta.Store) {
	const rows = 400
	var all []meta.Row
	for seq := range uint64(rows) {
		all = append(all, entry("s", seq))
	}
	createAll(t, s, all)
	next := uint64(0)
	for row, err := range meta.Query[*meta.Entry](t.Context(), s, "s", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if row.Seq >= rows {
			continue // written below; it may be seen or not
		}
		if row.Seq != next {
			t.Fatalf("query yielded row %d, want %d", row.Seq, next)
		}
		next++
		if err := s.Delete(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		mustCreate(t, s, entry("s", rows+row.Seq), entry("r", row.Seq))
	}
	if next != rows {
		t.Fatalf("query yielded %d rows while they were being deleted, want %d", next, rows)
	}
}

func queryOwnType(t *testing.T, s meta.Store) {
	mustCreate(t, s, &meta.Partition{Topic: 9, Partition: 4, Owner: "me"}, &meta.Partition{Topic: 10, Partition: 0})
	for p, err := range meta.Query[*meta.Partition](t.Context(), s, meta.TopicHash(9), 0) {
		if err != nil || p.Owner != "me" {
			t.Fatalf("got %+v, %v", p, err)
		}
	}
	n := 0
	for p, err := range meta.Scan[*meta.Partition](t.Context(), s) {
		if err != nil {
			t.Fatalf("got %+v, %v", p, err)
		}
		n++
	}
	if n != 2 {
		t.Fatalf("scan yielded %d partitions, want 2", n)
	}
}

func scan(t *testing.T, s meta.Store) {
	const hashes, each = 30, 20
	want := map[meta.Key]bool{}
	var all []meta.Row
	for h := range hashes {
		for seq := range uint64(each) {
			row := entry(fmt.Sprint("session", h), seq)
			all = append(all, row)
			want[row.Key()] = true
		}
	}
	createAll(t, s, all)
	mustCreate(t, s, &meta.Topic{Name: "not of this kind"})
	for row, err := range s.Scan(t.Context(), meta.Journal) {
		if err != nil {
			t.Fatal(err)
		}
		if !want[row.Key()] {
			t.Errorf("scan yielded %v, which is not there or came twice", row.Key())
		}
		delete(want, row.Key())
	}
	if len(want) > 0 {
		t.Errorf("scan missed %d rows", len(want))
	}
	if rows := collect(t, s.Scan(t.Context(), meta.Tombstones)); len(rows) != 0 {
		t.Errorf("scan of a kind without rows yielded %d", len(rows))
	}
}

func unknownKind(t *testing.T, s meta.Store) {
	if err := last(s.Query(t.Context(), "nonsense", "h", 0)); err == nil {
		t.Error("query of an unknown kind: got no error")
	}
	if err := last(s.Scan(t.Context(), "nonsense")); err == nil {
		t.Error("scan of an unknown kind: got no error")
	}
}

func wantSeqs(t *testing.T, s meta.Store, session string, from uint64, want []uint64) {
	t.Helper()
	i := 0
	for row, err := range meta.Query[*meta.Entry](t.Context(), s, session, from) {
		if err != nil {
			t.Fatalf("query %q from %d: %v", session, from, err)
		}
		if i >= len(want) || row.Session != session || row.Seq != want[i] {
			t.Fatalf("query %q from %d: row %d is %q %d, want %v", session, from, i, row.Session, row.Seq, want)
		}
		i++
	}
	if i != len(want) {
		t.Fatalf("query %q from %d: got %d rows, want %v", session, from, i, want)
	}
}

func wantRows(t *testing.T, rows iter.Seq2[meta.Row, error], want ...meta.Row) {
	t.Helper()
	got := collect(t, rows)
	if len(got) != len(want) {
		t.Fatalf("got %d rows, want %d", len(got), len(want))
	}
	for i := range want {
		wantEqual(t, got[i], want[i])
	}
}

func collect(t *testing.T, rows iter.Seq2[meta.Row, error]) []meta.Row {
	t.Helper()
	var got []meta.Row
	for row, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row)
	}
	return got
}

// errAfterError tells of a store that goes on after an error.
var errAfterError = errors.New("store yielded more after an error")

// last is the error that ended rows, if one did.
func last(rows iter.Seq2[meta.Row, error]) error {
	var failed error
	for _, err := range rows {
		if failed != nil {
			return errAfterError
		}
		failed = err
	}
	return failed
}
