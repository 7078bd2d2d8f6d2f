package verify

import (
	"slices"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// What clean-up removes, or leaves half removed, is no fault, and nor is what
// never came to count.
func TestNoFault(t *testing.T) {
	for name, change := range map[string]func(s *store){
		"the row of a finished session gone": func(s *store) { s.remove(&meta.Session{ID: first}) },
		"a finished session of which only what it merged stands": func(s *store) {
			s.remove(&meta.Session{ID: first})
			s.remove(&meta.Entry{Session: first, Seq: 2})
			s.drop(keyOf(first, 2))
			edit(s, &meta.Partition{Topic: 1, Partition: 1}, func(p *meta.Partition) {
				p.LogStart, p.Checkpoint, p.Tenures = 5, meta.Checkpoint{End: 5}, p.Tenures[1:]
			})
		},
		"a log start inside a run":                              func(s *store) { s.raise(0, 1) },
		"a log start at a run's beginning, and nothing removed": func(s *store) { s.raise(0, 3) },
		"a log start, and its compactions gone": func(s *store) {
			s.raise(0, 3)
			edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Checkpoint.Compactions = p.Checkpoint.Compactions[1:] })
			s.remove(run5())
		},
		"a row and an object below the log start half removed": func(s *store) {
			s.raise(0, 3)
			s.raise(1, 4)
			s.remove(run6())
			s.drop(merged0)
		},
		"all below the checkpoint let go": func(s *store) {
			s.raise(0, 9)
			edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Checkpoint.Compactions = nil })
			s.remove(run5())
			s.remove(run7())
			s.drop(merged1)
			s.remove(&meta.Merge{Session: second})
		},
		"a log start above the checkpoint": func(s *store) { s.raise(0, 10) },
		"rows of a compaction that is not named": func(s *store) {
			s.merge(second, 1, piecemeal{compaction: 4, parts: p0[:1]})
			s.drop(mergedOf(second, 1))
		},
		"rows beyond their compaction's end": func(s *store) {
			s.merge(second, 1, piecemeal{compaction: 5, parts: p0[1:]}, piecemeal{compaction: 6, parts: []part{{partition: 1, base: 4, batches: []int{1}}}})
			s.drop(mergedOf(second, 1))
		},
		"rows before the end of the compaction before theirs": func(s *store) {
			s.merge(second, 1, piecemeal{compaction: 7, parts: p0[:1]})
			s.merge(second, 2, piecemeal{compaction: 7, parts: []part{{partition: 0, base: 1, batches: []int{3}}}})
			s.drop(mergedOf(second, 1))
			s.drop(mergedOf(second, 2))
		},
		"a merge without an object": func(s *store) {
			s.merge(second, 1, piecemeal{compaction: 9, parts: p1})
			s.remove(&meta.Run{Log: meta.RunHash(1, 1, 9), Last: 3})
			s.drop(mergedOf(second, 1))
		},
		"a deleted topic half removed": func(s *store) {
			s.create(&meta.Tombstone{Topic: 2, Name: "gone"})
			s.create(&meta.Partition{Topic: 2, Checkpoint: meta.Checkpoint{End: 7, Compactions: []meta.Compaction{{ID: 1, End: 7}}}})
			s.commit(second, 2, part{partition: 0, epoch: 1, base: 9, batches: []int{5}})
			s.recommit(second, 2, 0, func(c *journal.Commit) { c.Topic = 2 })
			s.drop(keyOf(second, 2))
		},
		"a covered commit whose object is damaged": func(s *store) {
			s.commit(second, 2, part{partition: 0, epoch: 2, base: 3, batches: []int{2, 3}})
			s.rewrite(keyOf(second, 2), func(b []byte) []byte { return b[:50] })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMerged(t)
			change(s)
			if _, err := Run(t.Context(), s.rows, s.objects, Options{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// raise raises a partition's log start.
func (s *store) raise(partition uint32, start uint64) {
	s.Helper()
	edit(s, &meta.Partition{Topic: 1, Partition: partition}, func(p *meta.Partition) { p.LogStart = start })
}

// What no index row names is listed, and is no fault.
func TestUnnamedMerges(t *testing.T) {
	s := newMerged(t)
	s.merge(first, 1, piecemeal{compaction: 9, parts: p1})
	s.put("merged/"+second+"/000000000009-x", []byte("xyz"))
	r, err := Run(t.Context(), s.rows, s.objects, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := s.objects.Get(t.Context(), mergedOf(first, 1), 0, -1)
	want := []Unnamed{
		{Key: mergedOf(first, 1), Size: int64(len(b)), Sealed: true},
		{Key: "merged/" + second + "/000000000009-x", Size: 3},
	}
	if !slices.Equal(r.Unnamed, want) || r.UnnamedCount != 2 || r.UnnamedBytes != want[0].Size+3 {
		t.Errorf("unnamed: %+v", r.Unnamed)
	}
}
