package cleanup

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// covered is a journal of so many rows that may go, and one that must stay.
func covered(w *world, rows uint64) {
	w.create(&meta.Session{ID: own}, partition(0, own, 10*rows+10))
	for seq := range rows + 1 {
		w.commit(own, seq, records(0, 10*seq))
	}
}

func (w *world) journal() (n int, first uint64) {
	w.Helper()
	for row, err := range meta.Query[*meta.Entry](w.Context(), w.rows, own, 0) {
		if err != nil {
			w.Fatal(err)
		}
		if n == 0 {
			first = row.Seq
		}
		n++
	}
	return n, first
}

// Requests are spread over time, and a pass that took long enough leaves the rest
// to the next one.
func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		covered(w, 1000)
		c := w.cleaner(Options{Grace: grace, PerSecond: 50, Longest: 10 * time.Second})
		w.must(c.Own(t.Context()))
		time.Sleep(grace)
		for pass := 1; pass <= 2; pass++ {
			began := time.Now()
			r := w.must(c.Own(t.Context()))
			if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
				t.Errorf("pass %d took %v", pass, took)
			}
			n, first := w.journal()
			if want := 500 * pass; first < uint64(want-10) || first > uint64(want+10) || n != 1001-int(first) {
				t.Errorf("after pass %d, %d rows are left, from %d on", pass, n, first)
			}
			if pass == 1 && r.Backlog().Number == 0 {
				t.Error("it does not tell what waits")
			}
		}
	})
}

// What waits is told with its size and age.
func TestBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		covered(w, 5)
		w.put(key(own, 50))
		w.create(&meta.Merge{Session: own, Object: mergedKey(own, 0), Parts: index.AppendParts(nil, []index.Part{run(7, 0)})})
		c := w.cleaner(Options{Grace: grace})
		w.must(c.Own(t.Context()))
		time.Sleep(time.Minute)
		r := w.must(c.Own(t.Context()))
		want := map[Group]Count{
			{JournalRow, Merged}:    {5, 50, 5, time.Minute},
			{Object, Unnamed}:       {1, 10, 0, time.Minute},
			{MergedObject, Expired}: {1, 0, 0, time.Minute},
		}
		if fmt.Sprint(r.Waiting) != fmt.Sprint(want) || len(r.Removed) > 0 {
			t.Errorf("waiting: %v, want %v", r.Waiting, want)
		}
		if b := r.Backlog(); b != (Count{7, 60, 5, time.Minute}) {
			t.Errorf("in all: %v", b)
		}
		time.Sleep(grace)
		r = w.must(c.Own(t.Context()))
		if n, bytes := r.Objects(); n != 7 || bytes != 60 || r.Rows() != 6 {
			t.Errorf("removed %d objects of %d bytes, and %d rows: %v", n, bytes, r.Rows(), r.Removed)
		}
	})
}

// A journal that grows all the time is trimmed all the time, from few notes.
func TestGrowingJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(&meta.Session{ID: own}, partition(0, own, 1<<40))
		c := w.cleaner(Options{Grace: grace})
		for seq := range uint64(1200) { // ten hours at two a minute
			w.commit(own, seq, records(0, 10*seq))
			time.Sleep(30 * time.Second)
			w.must(c.Own(t.Context()))
			if n := len(c.sessions[own].trim.marks); n > marksPerGrace+1 {
				t.Fatalf("%d marks", n)
			}
			if n, _ := w.journal(); n > 14 {
				t.Fatalf("%d rows are left after %d", n, seq)
			}
		}
	})
}

// Notes are bounded: what is beyond has its turn later.
func TestNotesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.cleaner(Options{Grace: grace})
	c.noted = maxNotes - 2
	objects := candidates{"a": 1, "b": 2, "c": 3}
	var noted notes
	c.renote(&noted, objects)
	if len(noted) != 2 || c.noted != maxNotes {
		t.Errorf("%d notes, %d in all", len(noted), c.noted)
	}
	c.renote(&noted, candidates{})
	c.renote(&noted, objects)
	if len(noted) != 2 || c.noted != maxNotes {
		t.Errorf("%d notes, %d in all", len(noted), c.noted)
	}
}

// A merge whose row stands late, after rows of later merges, is found.
func TestLateMerge(t *testing.T) {
	t.Parallel()
	for _, session := range []string{own, peer} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.create(&meta.Session{ID: session, Sealed: session == peer}, partition(0, "x", 0))
			w.seal(session, 0)
			w.merge(session, 5, run(5, 50))
			c := w.cleaner(Options{Grace: grace, ListEvery: 3, SweepEvery: 3})
			for n := range 8 {
				if n == 1 {
					w.merge(session, 4, run(4, 40))
				}
				if session == own {
					w.must(c.Own(t.Context()))
				} else {
					w.must(c.Others(t.Context()))
				}
				time.Sleep(grace)
			}
			if w.has(&meta.Merge{Session: session, Number: 4}) || w.has(&meta.Merge{Session: session, Number: 5}) || c.held != 0 {
				t.Errorf("%s: a merge is left, or remembered: %v", session[:1], w.content())
			}
		})
	}
}

// A journal row that cannot be read keeps the journal, and a merge its session's
// merges; nothing else stays.
func TestDamage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(w.sealed(peer), partition(0, "x", 100))
		w.commit(peer, 0, records(0, 0))
		w.create(&meta.Entry{Session: peer, Seq: 1, Segments: []meta.Segment{{Key: key(peer, 1), Commits: []byte{255}}}})
		w.put(key(peer, 1))
		w.seal(peer, 2)
		w.create(&meta.Merge{Session: peer, Number: 1, Object: mergedKey(peer, 1), Parts: []byte{255}}, &meta.Tombstone{Topic: 3}, &meta.Partition{Topic: 3})
		w.put(mergedKey(peer, 1))
		c := w.cleaner(Options{Grace: grace, ListEvery: 1, SweepEvery: 1})
		c.deps.Logger = slog.New(slog.DiscardHandler)
		for range 4 {
			if _, err := c.Others(t.Context()); err == nil {
				t.Error("nobody is told of it")
			}
			time.Sleep(grace)
		}
		have := w.content()
		for _, k := range []string{"journal b/1", "object b/1-x", "merges b/1", "object merged/b/1-x", "sessions b/0"} {
			if !have[k] {
				t.Errorf("%s is gone", k)
			}
		}
		if have["partitions 3/0"] {
			t.Error("the deleted topic's partition stays")
		}
	})
}

// Run waits the grace as often as it has to, and comes to an end.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(w.sealed(peer), partition(0, "x", 10), &meta.Tombstone{Topic: 3}, &meta.Partition{Topic: 3})
		w.commit(peer, 0, records(0, 0))
		w.seal(peer, 1)
		w.put(key(peer, 7))
		began, waits := time.Now(), 0
		r := w.must(Run(t.Context(), Options{Grace: grace}, w.rows, w.objects, nil, func(c Count) {
			if waits++; c.Number == 0 {
				t.Error("it waits for nothing")
			}
		}))
		if n, _ := r.Objects(); n != 2 || r.Rows() != 4 || r.Backlog().Number > 0 {
			t.Errorf("removed %v, waiting %v", r.Removed, r.Waiting)
		}
		if took := time.Since(began); waits != 1 || took < grace || took > grace+time.Minute {
			t.Errorf("it waited %d times, %v in all", waits, took)
		}
	})
}
