package cleanup

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// rule is a store, and all that is to go of it once the grace is over.
type rule struct {
	setup func(w *world)
	gone  []string
}

// check runs passes before, at and after the end of the grace.
func (r rule) check(t *testing.T, pass func(*world, *Cleaner) Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r.setup(w)
		before := w.content()

		plan := w.cleaner(Options{DryRun: true, SweepEvery: 1})
		planned := pass(w, plan)
		if got := changes(before, w.content()); len(got) > 0 {
			t.Fatalf("a dry run changed %q", got)
		}

		c := w.cleaner(Options{Grace: grace, ListEvery: 1, SweepEvery: 1})
		pass(w, c)
		time.Sleep(grace - time.Minute)
		pass(w, c)
		for _, k := range changes(before, w.content()) {
			if !strings.HasPrefix(k, "partitions") && !strings.HasPrefix(k, "sessions") && !strings.HasPrefix(k, "+tombstones") {
				t.Errorf("within the grace, this changed: %s", k)
			}
		}
		time.Sleep(time.Minute)
		pass(w, c)
		for range 3 { // what went lets other things go
			time.Sleep(grace)
			pass(w, c)
		}
		if got := changes(before, w.content()); !slices.Equal(got, r.gone) {
			t.Errorf("changed:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(r.gone, "\n  "))
		}
		last := pass(w, c)
		if n, _ := last.Objects(); n+last.Rows() > 0 || last.Backlog().Number > 0 {
			t.Errorf("afterwards there is still something to do: %+v", last)
		}
		if n, _ := planned.Objects(); len(r.gone) == 0 && n+planned.Rows() > 0 || len(r.gone) > 0 && n+planned.Rows() == 0 {
			t.Errorf("the dry run told of %+v", planned.Removed)
		}
	})
}

func (w *world) sealed(id string) *meta.Session { return &meta.Session{ID: id, Sealed: true} }

// What goes of sessions that are finished, and what stays.
func TestOthers(t *testing.T) {
	t.Parallel()
	finished := func(w *world, commits uint64) {
		w.create(w.sealed(peer), &meta.Session{ID: own})
		for seq := range commits {
			w.commit(peer, seq, records(0, 10*seq))
		}
		w.seal(peer, commits)
	}
	for name, r := range map[string]rule{
		"hole 2: what no checkpoint covers stays": {func(w *world) {
			finished(w, 3)
			w.create(partition(0, own, 10))
		}, []string{"journal b/0", "object b/0-x"}},
		"a seal that landed late where rows were trimmed goes like a row": {func(w *world) {
			w.create(w.sealed(peer), &meta.Session{ID: own}, partition(0, own, 20))
			w.seal(peer, 1)
			w.commit(peer, 4, records(0, 10))
			w.seal(peer, 5)
		}, []string{"journal b/1", "journal b/4", "object b/4-x", "sessions b/0"}},
		"a finished session goes but for its seal": {func(w *world) {
			finished(w, 2)
			w.create(partition(0, own, 20))
		}, []string{"journal b/0", "journal b/1", "object b/0-x", "object b/1-x", "sessions b/0"}},
		"a row with two partitions, one of which is not covered": {func(w *world) {
			w.create(w.sealed(peer), partition(0, own, 10), partition(1, own, 9))
			w.commit(peer, 0, records(0, 0), records(1, 0))
			w.seal(peer, 1)
		}, nil},
		"a row behind one that is not covered": {func(w *world) {
			w.create(w.sealed(peer), partition(0, own, 10), partition(1, own, 0))
			w.commit(peer, 0, records(1, 0))
			w.commit(peer, 1, records(0, 0))
			w.seal(peer, 2)
		}, nil},
		"no partition's row, and no tombstone": {func(w *world) { finished(w, 1) }, nil},
		"hole 9: a session that is not sealed is left alone": {func(w *world) {
			w.create(&meta.Session{ID: peer}, partition(0, own, 100))
			w.commit(peer, 0, records(0, 0))
			w.commit(peer, 1, records(0, 10))
			w.put(key(peer, 7))
			w.merge(peer, 0, run(7, 0))
		}, nil},
		"a finished session that still owns a partition": {func(w *world) {
			finished(w, 1)
			w.put(key(peer, 7))
			w.create(partition(0, peer, 10))
		}, nil},
		"one that owns a partition of a deleted topic": {func(w *world) {
			finished(w, 1)
			w.create(partition(0, peer, 0), &meta.Tombstone{Topic: 1, Name: "t"})
		}, []string{"journal b/0", "object b/0-x", "partitions 1/0", "sessions b/0", "tombstones 1/0", "+tombstones 1/0 cleaned"}},
		"an earlier tenure keeps the session's row": {func(w *world) {
			finished(w, 1)
			p := partition(0, own, 0)
			p.Tenures = []meta.Tenure{{Session: peer, Epoch: 1, End: 10, EndSeq: 1}}
			w.create(p)
			w.put(key(peer, 7))
		}, []string{"object b/7-x"}},
		"producers' states that a row names": {func(w *world) {
			finished(w, 0)
			p := partition(0, own, 0)
			p.State = key(peer, 5)
			w.create(p)
			w.put(key(peer, 4), key(peer, 5))
		}, []string{"object b/4-x"}},
		"objects of a session that has no row": {func(w *world) {
			w.seal(peer, 0)
			w.put(key(peer, 4), "other/thing")
		}, []string{"object b/4-x"}},
		"rows of a journal that came back": {func(w *world) {
			w.create(partition(0, own, 20))
			w.commit(peer, 1, records(0, 10))
			w.seal(peer, 2)
		}, []string{"journal b/1", "object b/1-x"}},
		"a topic of which only the row says that it is deleted": {func(w *world) {
			w.create(&meta.Topic{Name: "t", ID: 1, Deleted: true}, partition(0, own, 0))
			finished(w, 1)
		}, []string{"journal b/0", "object b/0-x", "partitions 1/0", "sessions b/0", "+tombstones 1/0 cleaned"}},
		"a partition that an agent made after its topic's tombstone was done": {func(w *world) {
			w.create(&meta.Tombstone{Topic: 1, Name: "t", Cleaned: true}, partition(3, own, 0))
		}, []string{"partitions 1/3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r.check(t, func(w *world, c *Cleaner) Report { w.Helper(); return w.must(c.Others(w.Context())) })
		})
	}
}

// What goes of the session that works, by its own hand.
func TestOwn(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]rule{
		"the newest row stays": {func(w *world) {
			w.create(&meta.Session{ID: own}, partition(0, own, 1000))
			for seq := range uint64(3) {
				w.commit(own, seq, records(0, 10*seq))
			}
		}, []string{"journal a/0", "journal a/1", "object a/0-x", "object a/1-x"}},
		"the only row stays": {func(w *world) {
			w.create(&meta.Session{ID: own}, partition(0, own, 1000))
			w.commit(own, 0, records(0, 0))
		}, nil},
		"the seal stays": {func(w *world) {
			w.create(&meta.Session{ID: own}, partition(0, peer, 1000))
			w.commit(own, 0, records(0, 0))
			w.seal(own, 1)
		}, []string{"journal a/0", "object a/0-x"}},
		"a deleted topic": {func(w *world) {
			w.create(&meta.Session{ID: own}, &meta.Tombstone{Topic: 1, Name: "t"})
			w.commit(own, 0, records(0, 0))
			w.commit(own, 1, journal.Commit{Topic: 2, Records: 1})
		}, []string{"journal a/0", "object a/0-x"}},
		"objects that were never named": {func(w *world) {
			p := partition(0, own, 0)
			p.State = key(own, 50)
			w.create(&meta.Session{ID: own}, p)
			w.commit(own, 0, records(0, 0))
			w.put(key(own, 7), key(own, 50), key(own, 99), key(own, 100), own+"/strange", key(peer, 3))
		}, []string{"object a/7-x", "object a/99-x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r.check(t, func(w *world, c *Cleaner) Report { w.Helper(); return w.must(c.Own(w.Context())) })
		})
	}
}

// An object that a compare-and-set may be about to name stays, whatever its
// number is, and goes when it was not named after all.
func TestKeep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create(&meta.Session{ID: own})
		w.put(key(own, 4))
		c := w.cleaner(Options{Grace: grace, ListEvery: 1})
		keep := true
		c.deps.Keep = func(string) bool { return keep }
		for range 5 {
			w.must(c.Own(t.Context()))
			time.Sleep(grace)
		}
		if !w.content()["object a/4-x"] {
			t.Fatal("it is gone")
		}
		keep = false
		w.must(c.Own(t.Context()))
		time.Sleep(grace)
		w.must(c.Own(t.Context()))
		if w.content()["object a/4-x"] {
			t.Error("it is still there")
		}
	})
}
