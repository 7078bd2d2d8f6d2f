package cleanup

import (
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// What goes of merges. Each belongs to a session that is finished in TestMerges'
// first half and to the own one in the second: the rules are the same.
func TestMerges(t *testing.T) {
	t.Parallel()
	all := func(id string) []string {
		return []string{"index 1/0/7/9", "merges " + id + "/0", "object merged/" + id + "/0-x"}
	}
	for _, session := range []string{peer, own} {
		id := session[:1]
		begin := func(w *world) {
			w.create(&meta.Session{ID: session, Sealed: session == peer})
			if session == peer {
				w.seal(peer, 0)
				edit(w, &meta.Session{ID: peer}, func(s *meta.Session) { s.Sealed = true })
				// its row is kept by an earlier tenure
				w.create(&meta.Partition{Topic: 9, Tenures: []meta.Tenure{{Session: peer}}})
			}
		}
		for name, r := range map[string]rule{
			"named": {func(w *world) {
				w.merge(session, 0, run(7, 0))
				w.create(partition(0, "x", 20, meta.Compaction{ID: 7, End: 20}))
			}, nil},
			"below the log start": {func(w *world) {
				w.merge(session, 0, run(7, 0))
				p := partition(0, "x", 20, meta.Compaction{ID: 7, End: 20})
				p.LogStart = 10
				w.create(p)
			}, all(id)},
			"reaching across the log start": {func(w *world) {
				w.merge(session, 0, run(7, 0))
				p := partition(0, "x", 20, meta.Compaction{ID: 7, End: 20})
				p.LogStart = 9
				w.create(p)
			}, nil},
			"another compaction has its place": {func(w *world) {
				w.merge(session, 0, run(7, 0))
				w.create(partition(0, session, 20, meta.Compaction{ID: 8, End: 20}))
			}, all(id)},
			"hole 8: a compare-and-set may be under way": {func(w *world) {
				w.merge(session, 0, run(7, 0))
				w.create(partition(0, session, 0))
			}, nil},
			"the partition has another owner": {func(w *world) {
				w.merge(session, 0, run(7, 0))
				w.create(partition(0, "x", 0))
			}, all(id)},
			"no partition's row": {func(w *world) { w.merge(session, 0, run(7, 0)) }, nil},
			"a deleted topic": {func(w *world) {
				w.create(&meta.Tombstone{Topic: 1, Cleaned: true})
				w.merge(session, 0, run(7, 0))
			}, all(id)},
			"one part of two is named": {func(w *world) {
				w.merge(session, 0, run(7, 0), index.Part{Topic: 1, Partition: 1, Compaction: 5, Records: 3})
				w.create(partition(0, "x", 20, meta.Compaction{ID: 8, End: 20}), partition(1, "x", 3, meta.Compaction{ID: 5, End: 3}))
			}, nil},
			"broken off before the object": {func(w *world) {
				w.create(&meta.Merge{Session: session, Object: mergedKey(session, 0), Parts: index.AppendParts(nil, []index.Part{run(7, 0)})})
				w.create(partition(0, "x", 0))
			}, []string{"merges " + id + "/0"}},
			"another merge's row in the index": {func(w *world) {
				w.merge(session, 0, run(7, 0))
				edit(w, &meta.Run{Log: meta.RunHash(1, 0, 7), Last: 9}, func(r *meta.Run) { r.Object = "merged/other" })
				w.create(partition(0, "x", 0))
			}, []string{"merges " + id + "/0", "object merged/" + id + "/0-x"}},
			"some go, some stay": {func(w *world) {
				for n := range uint64(5) {
					w.merge(session, n, run(7, 10*n))
				}
				p := partition(0, session, 30, meta.Compaction{ID: 7, End: 30})
				p.LogStart = 15
				w.create(p)
			}, all(id)},
		} {
			r := rule{func(w *world) { begin(w); r.setup(w) }, r.gone}
			t.Run(id+"/"+name, func(t *testing.T) {
				t.Parallel()
				r.check(t, func(w *world, c *Cleaner) Report {
					w.Helper()
					if session == own {
						return w.must(c.Own(w.Context()))
					}
					return w.must(c.Others(w.Context()))
				})
			})
		}
	}
}

// Merged objects without a merge are garbage, whoever wrote them; merges are found
// without a session's row.
func TestSweep(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]rule{
		"objects of a session that works": {func(w *world) {
			w.create(&meta.Session{ID: peer}, partition(0, "x", 0))
			w.merge(peer, 0, run(7, 0))
			w.put(mergedKey(peer, 1))
		}, []string{"object merged/b/1-x"}},
		"merges of a session without a row": {func(w *world) {
			w.create(partition(0, "x", 0))
			w.create(&meta.Merge{Session: peer, Number: 3, Object: mergedKey(peer, 3), Parts: index.AppendParts(nil, []index.Part{run(7, 0)})})
		}, []string{"merges b/3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r.check(t, func(w *world, c *Cleaner) Report { w.Helper(); return w.must(c.Others(w.Context())) })
		})
	}
}
