package cleanup

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// hooked is a store of rows to which something happens right before, or right
// after, rows of a kind are read for the first time.
type hooked struct {
	meta.Store
	kind          meta.Kind
	before, after func()
}

func (h *hooked) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	return h.around(kind, h.Store.Query(ctx, kind, hash, from))
}

func (h *hooked) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	return h.around(kind, h.Store.Scan(ctx, kind))
}

func (h *hooked) around(kind meta.Kind, rows iter.Seq2[meta.Row, error]) iter.Seq2[meta.Row, error] {
	if kind != h.kind {
		return rows
	}
	return func(yield func(meta.Row, error) bool) {
		once(&h.before)
		type pair struct {
			row meta.Row
			err error
		}
		var all []pair
		for row, err := range rows {
			all = append(all, pair{row, err})
		}
		once(&h.after)
		for _, p := range all {
			if !yield(p.row, p.err) {
				return
			}
		}
	}
}

func once(do *func()) {
	if f := *do; f != nil {
		*do = nil
		f()
	}
}

// Whatever is named while a pass runs, before or after it reads who names what,
// stays, even without any grace.
func TestNamedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		setup, meanwhile func(w *world, keep map[string]bool)
		stays            []string
	}{
		"producers' states that were kept": {
			func(w *world, keep map[string]bool) {
				w.put(key(own, 4))
				keep[key(own, 4)] = true
			},
			func(w *world, keep map[string]bool) {
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.State = key(own, 4) })
				delete(keep, key(own, 4))
			},
			[]string{"object a/4-x"},
		},
		"producers' states that are new": {
			func(*world, map[string]bool) {},
			func(w *world, _ map[string]bool) {
				w.put(key(own, 4))
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.State = key(own, 4) })
			},
			[]string{"object a/4-x"},
		},
		"a merge that is new": {
			func(*world, map[string]bool) {},
			func(w *world, _ map[string]bool) {
				w.merge(own, 0, run(7, 0))
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) {
					p.Checkpoint = meta.Checkpoint{End: 10, Compactions: []meta.Compaction{{ID: 7, End: 10}}}
				})
			},
			[]string{"merges a/0", "object merged/a/0-x", "index 1/0/7/9"},
		},
		"a merge whose checkpoint moves": {
			func(w *world, _ map[string]bool) { w.merge(own, 0, run(7, 0)) },
			func(w *world, _ map[string]bool) {
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) {
					p.Checkpoint = meta.Checkpoint{End: 10, Compactions: []meta.Compaction{{ID: 7, End: 10}}}
				})
			},
			[]string{"merges a/0", "object merged/a/0-x", "index 1/0/7/9"},
		},
		"a session that is sealed, and named before": {
			func(w *world, _ map[string]bool) {
				w.create(&meta.Session{ID: peer})
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Owner = peer })
				w.put(key(peer, 4))
				w.merge(peer, 0, run(7, 0))
			},
			func(w *world, _ map[string]bool) {
				edit(w, &meta.Session{ID: peer}, func(s *meta.Session) { s.Sealed = true })
				w.seal(peer, 0)
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) {
					p.Owner, p.State = own, key(peer, 4)
					p.Checkpoint = meta.Checkpoint{End: 10, Compactions: []meta.Compaction{{ID: 7, End: 10}}}
				})
			},
			[]string{"object b/4-x", "merges b/0", "object merged/b/0-x", "index 1/0/7/9"},
		},
		"a zombie that acquires late": {
			func(w *world, _ map[string]bool) {
				w.create(w.sealed(peer))
				w.seal(peer, 0)
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Owner = "" })
			},
			func(w *world, _ map[string]bool) { acquireAndMerge(w, peer) },
			[]string{"object b/4-x", "merges b/0", "object merged/b/0-x", "index 1/0/7/9"},
		},
		"a session that acquires, and is sealed": {
			func(w *world, _ map[string]bool) {
				w.create(&meta.Session{ID: peer})
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Owner = "" })
			},
			func(w *world, _ map[string]bool) {
				acquireAndMerge(w, peer)
				edit(w, &meta.Session{ID: peer}, func(s *meta.Session) { s.Sealed = true })
				w.seal(peer, 0)
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Owner = own })
			},
			[]string{"object b/4-x", "merges b/0", "object merged/b/0-x", "index 1/0/7/9"},
		},
		"the own session acquires": {
			func(w *world, _ map[string]bool) {
				edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Owner = "" })
			},
			func(w *world, _ map[string]bool) { acquireAndMerge(w, own) },
			[]string{"object a/4-x", "merges a/0", "object merged/a/0-x", "index 1/0/7/9"},
		},
	} {
		for _, kind := range []meta.Kind{meta.Sessions, meta.Topics, meta.Merges, meta.Tombstones, meta.Partitions, meta.Journal} {
			for how := range 4 {
				t.Run(fmt.Sprint(name, "/", kind, how), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t)
						w.create(&meta.Session{ID: own}, partition(0, own, 0))
						keep := map[string]bool{}
						c.setup(w, keep)
						rows := &hooked{Store: w.rows, kind: kind}
						meanwhile := func() { c.meanwhile(w, keep) }
						if how&1 == 0 {
							rows.before = meanwhile
						} else {
							rows.after = meanwhile
						}
						cleaner := w.cleaner(Options{ListEvery: 1, SweepEvery: 1})
						cleaner.deps.Keep = func(key string) bool { return keep[key] }
						cleaner.deps.Rows = rows
						pass := cleaner.Own
						if how&2 == 0 {
							pass = cleaner.Others
						}
						for range 3 {
							w.must(pass(t.Context()))
						}
						if how&2 == 0 && kind != meta.Journal && (rows.before != nil || rows.after != nil) {
							t.Fatal("the pass reads no such rows")
						}
						if rows.before != nil || rows.after != nil {
							meanwhile()
						}
						have := w.content()
						for _, k := range c.stays {
							if !have[k] {
								t.Errorf("%s is gone", k)
							}
						}
					})
				})
			}
		}
	}
}

// acquireAndMerge is all that a session does from an acquisition to a checkpoint.
func acquireAndMerge(w *world, session string) {
	edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Owner = session })
	w.merge(session, 0, run(7, 0))
	w.put(key(session, 4))
	edit(w, &meta.Partition{Topic: 1}, func(p *meta.Partition) {
		p.State = key(session, 4)
		p.Checkpoint = meta.Checkpoint{End: 10, Compactions: []meta.Compaction{{ID: 7, End: 10}}}
	})
}
