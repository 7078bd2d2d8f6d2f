package cleanup

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// everything is a store with something of each kind to remove and to keep.
func everything(w *world) {
	w.create(
		&meta.Session{ID: own}, w.sealed(peer), &meta.Tombstone{Topic: 2, Name: "gone"}, &meta.Partition{Topic: 2, Owner: own},
		partition(0, own, 30, meta.Compaction{ID: 6, End: 10}, meta.Compaction{ID: 7, End: 30}),
	)
	for n, session := range []string{peer, own} {
		n := uint64(n)
		for seq := range uint64(4) {
			w.commit(session, seq, records(0, 10*seq), journal.Commit{Topic: 2, Base: seq, Records: 1})
		}
		w.merge(session, 0, run(6+n, 10*n), index.Part{Topic: 2, Compaction: 3, Base: 10 * n, Records: 2})
		w.merge(session, 1, run(8+n, 10*n), index.Part{Topic: 2, Compaction: 4, Base: 10 * n, Records: 2})
		w.put(key(session, 50))
	}
	w.seal(peer, 4)
	w.put(mergedKey(peer, 9))
}

// both runs passes until nothing is left to do. It starts anew, as after a crash,
// whenever one fails.
func (w *world) both(rows meta.Store, objects *faults.Injector) {
	w.Helper()
	c := w.cleaner(Options{Grace: grace, ListEvery: 1, SweepEvery: 1})
	c.deps.Rows, c.deps.Objects = rows, objects.Objects(w.objects)
	fresh := *c
	for range 40 {
		left := 0
		for _, pass := range []func(context.Context) (Report, error){c.Own, c.Others} {
			r, err := pass(w.Context())
			if err != nil {
				again := New(fresh.opts, fresh.deps)
				c = again
				left++
				break
			}
			n, _ := r.Objects()
			left += n + r.Rows() + r.Backlog().Number
		}
		w.intact()
		if left == 0 {
			return
		}
		time.Sleep(grace)
	}
	w.Error("there is no end to it")
}

// intact says whether what rows name is there, or what they name is covered.
func (w *world) intact() {
	w.Helper()
	have := w.content()
	want := []string{
		"journal a/3", "object a/3-x", "journal b/3", "object b/3-x", "journal b/4", "sessions a/0", "partitions 1/0",
		"merges a/0", "object merged/a/0-x", "index 1/0/7/19", "merges b/0", "object merged/b/0-x", "index 1/0/6/9",
	}
	for _, k := range want {
		if !have[k] {
			w.Errorf("%s is gone", k)
		}
	}
	// A row of the index says that its object stands; a merge, that something may.
	for row, err := range w.rows.Scan(w.Context(), meta.Index) {
		run, _ := row.(*meta.Run)
		if err != nil || !have[short("object "+run.Object)] {
			w.Errorf("the object %s is gone, and its row in the index is not", short(run.Object))
		}
	}
	for _, session := range []string{own, peer} {
		next, first := uint64(0), true
		for row, err := range meta.Query[*meta.Entry](w.Context(), w.rows, session, 0) {
			if err != nil || !first && row.Seq != next {
				w.Errorf("journal %s has a gap before %d: %v", session[:1], row.Seq, err)
			}
			first, next = false, row.Seq+1
		}
	}
}

// A crash, or a lost request or answer, at any operation: whoever goes on comes to
// the same end, and at no time is anything gone that is named.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	ends := func(t *testing.T, rule faults.Rule) (end []string, ops uint64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			everything(w)
			before := w.content()
			i := faults.New(faults.Plan{Rules: []faults.Rule{rule}})
			w.both(i.Rows(w.rows), i)
			end = changes(before, w.content())
			for _, n := range i.Ops() {
				ops += n
			}
		})
		return end, ops
	}
	want, ops := ends(t, faults.Rule{First: 1 << 40})
	if len(want) < 20 || ops < 60 {
		t.Fatalf("%d changes by %d operations: %q", len(want), ops, want)
	}
	for _, kind := range []faults.Kind{faults.ErrBefore, faults.ErrAfter} {
		for n := range ops {
			got, _ := ends(t, faults.Rule{First: n + 1, Kind: kind})
			if !slices.Equal(got, want) {
				t.Errorf("after %v at operation %d:\n%s\nwant:\n%s", kind, n+1, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		got, _ := ends(t, faults.Rule{First: 5, Every: 61, Kind: kind})
		if !slices.Equal(got, want) {
			t.Errorf("after %v at every 61st operation:\n%s", kind, strings.Join(got, "\n"))
		}
	}
}

// Two that clean up at once come to the end that one comes to, without an error.
func TestTwoCleaners(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			everything(w)
			slow := faults.Latency{P50: 20 * time.Millisecond, P99: 200 * time.Millisecond}
			i := faults.New(faults.Plan{Seed: seed, Put: slow, Get: slow, Commit: slow, Read: slow})
			var both sync.WaitGroup
			for n := range 2 {
				c := w.cleaner(Options{Grace: grace, ListEvery: 1, SweepEvery: 1})
				c.deps.Rows, c.deps.Objects = i.Rows(w.rows), i.Objects(w.objects)
				if n == 1 {
					c.deps.Session = "" // a tool
				}
				both.Go(func() {
					for range 5 {
						if n == 0 {
							w.must(c.Own(w.Context()))
						}
						w.must(c.Others(w.Context()))
						time.Sleep(grace)
					}
				})
			}
			both.Wait()
			w.intact()
			end := w.content()
			alone := newWorld(t)
			everything(alone)
			alone.both(alone.rows, faults.New(faults.Plan{}))
			if got := changes(alone.content(), end); len(got) > 0 {
				t.Errorf("the end differs by %q", got)
			}
		})
	}
}

// A zombie's late compare-and-set: while the partition's row is its own, its merge
// and its producers' states stay for it, however long it takes; once another owns
// the partition, it fails, and they go (hole 8, R11).
func TestZombie(t *testing.T) {
	t.Parallel()
	for _, takenOver := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.create(w.sealed(peer), partition(0, peer, 0))
			w.seal(peer, 0)
			w.merge(peer, 0, run(7, 0))
			w.put(key(peer, 5))
			late := &meta.Partition{Topic: 1}
			if err := w.rows.Get(t.Context(), late); err != nil {
				t.Fatal(err)
			}
			late.Checkpoint = meta.Checkpoint{End: 10, Compactions: []meta.Compaction{{ID: 7, End: 10}}}
			late.State, late.StateEnd = key(peer, 5), 10
			if takenOver {
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Owner = own })
			}
			c := w.cleaner(Options{Grace: grace, ListEvery: 1, SweepEvery: 1})
			for range 4 {
				w.must(c.Others(t.Context()))
				time.Sleep(grace)
			}
			err := w.rows.Swap(t.Context(), late)
			if takenOver != errors.Is(err, meta.ErrConflict) {
				t.Fatal(err)
			}
			for range 4 {
				w.must(c.Others(t.Context()))
				time.Sleep(grace)
			}
			have := w.content()
			for _, k := range []string{"merges b/0", "object merged/b/0-x", "index 1/0/7/9", "object b/5-x"} {
				if have[k] == takenOver {
					t.Errorf("taken over: %t, and %s is there: %t", takenOver, k, have[k])
				}
			}
		})
	}
}
