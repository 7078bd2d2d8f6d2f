package verify

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Agents go on while a store is read: what they remove after a partition's row
// was read is no fault while they keep to the protocol.
func TestRemovedMeanwhile(t *testing.T) {
	gone := func(s *store) { // retention lets go what is below 3, and clean-up follows
		s.raise(0, 3)
		edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Checkpoint.Compactions = p.Checkpoint.Compactions[1:] })
		s.raise(1, 4)
	}
	for name, c := range map[string]struct {
		meanwhile func(s *store)
		fault     bool
	}{
		"an index row":                {func(s *store) { gone(s); s.remove(run5()); s.remove(run6()) }, false},
		"an object":                   {func(s *store) { gone(s); s.drop(merged0) }, false},
		"an object and its merge":     {func(s *store) { gone(s); s.drop(merged0); s.remove(&meta.Merge{Session: first}) }, false},
		"a merge's row":               {func(s *store) { gone(s); s.remove(&meta.Merge{Session: first}) }, false},
		"an index row that is named":  {func(s *store) { gone(s); s.remove(run7()) }, true},
		"an object that is named":     {func(s *store) { gone(s); s.drop(merged1) }, true},
		"one part's object, not all":  {func(s *store) { s.raise(0, 3); s.drop(merged0) }, true},
		"a named merge's row":         {func(s *store) { gone(s); s.remove(&meta.Merge{Session: second}) }, true},
		"everything below the tail":   {func(s *store) { s.raise(0, 9); s.remove(run5()); s.remove(run7()); s.drop(merged1) }, false},
		"the producers' states":       {func(s *store) { s.restate(); s.drop(second + "/checkpoint") }, false},
		"producers' states, named":    {func(s *store) { s.drop(second + "/checkpoint") }, true},
		"the topic":                   {func(s *store) { s.bury(); s.remove(run5()); s.drop(merged1); s.drop(keyOf(second, 1)) }, false},
		"the topic, down to its rows": {func(s *store) { s.bury(); s.remove(&meta.Partition{Topic: 1}); s.remove(run7()) }, false},
		"a partition's row alone":     {func(s *store) { s.remove(&meta.Partition{Topic: 1}); s.remove(run5()) }, true},
		"the topic, and an object":    {func(s *store) { s.bury(); s.drop(merged0) }, false},
		"the topic, and its commits": {func(s *store) {
			s.commit(second, 2, part{partition: 0, epoch: 2, base: 14, batches: []int{1}}, part{partition: 1, epoch: 3, base: 7, batches: []int{1}})
			s.bury()
			s.remove(&meta.Entry{Session: second, Seq: 0})
			s.remove(&meta.Entry{Session: second, Seq: 1})
		}, false},
		"the topic, and a tenure's end": {func(s *store) { s.bury(); s.remove(&meta.Entry{Session: first, Seq: 2}) }, false},
		"a tenure's end alone":          {func(s *store) { s.remove(&meta.Entry{Session: first, Seq: 2}) }, true},
		"the topic, of which somebody took a partition over": {func(s *store) {
			s.commit(second, 2, part{partition: 1, epoch: 3, base: 7, batches: []int{1}})
			s.bury()
			s.remove(&meta.Partition{Topic: 1, Partition: 1})
		}, false},
		"rows between two that stand": {func(s *store) {
			s.raise(0, 10)
			s.remove(&meta.Run{Log: run7().Log, Last: 7})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMerged(t)
			if strings.HasPrefix(name, "rows between") {
				s.split()
			}
			_, err := Run(t.Context(), s.rows, s.objects, Options{Started: func(int64, func() int64) { c.meanwhile(s) }})
			if (err != nil) != c.fault {
				t.Errorf("got %v", err)
			}
		})
	}
}

// tail is the last commit of partition 0.
var tail = part{partition: 0, base: 9, batches: []int{5}}

// split has two rows where compaction 7 has one, of which the second reaches to
// the log's end.
func (s *store) split() {
	s.Helper()
	s.remove(run7())
	s.merge(second, 1, piecemeal{compaction: 7, before: sizeOf(p0[0]), parts: p0[1:2]})
	s.merge(second, 2, piecemeal{compaction: 7, before: sizeOf(p0[:2]...), parts: []part{p0[2], tail}})
	s.cover()
}

// cover moves partition 0's checkpoint to the log's end.
func (s *store) cover() {
	s.Helper()
	s.put(second+"/later", s.object(second, 4, part{partition: 0, state: stateAt(14)}))
	edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) {
		p.State, p.StateEnd, p.Checkpoint.End, p.Checkpoint.Compactions[1].End = second+"/later", 14, 14, 14
		p.Checkpoint.Bytes = sizeOf(p0...) + sizeOf(tail)
	})
}

// restate has a later checkpoint's object hold the producers' states.
func (s *store) restate() {
	s.Helper()
	s.put(second+"/later", s.object(second, 4, part{partition: 0, state: stateAt(9)}))
	edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.State = second + "/later" })
}

// bury deletes the topic.
func (s *store) bury() {
	s.Helper()
	edit(s, &meta.Topic{Name: "orders"}, func(t *meta.Topic) { t.Deleted = true })
	s.create(&meta.Tombstone{Topic: 1, Name: "orders"})
}

// A checkpoint that moves while the store is read, and journals that are trimmed
// after it, leave the same log, whenever that is.
func TestMergedMeanwhile(t *testing.T) {
	plain := newStore(t)
	want, err := Run(t.Context(), plain.rows, plain.objects, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for at := range 9 {
		t.Run(fmt.Sprint("before journal row ", at), func(t *testing.T) {
			s := newStore(t)
			rows := &pagedRows{Store: s.rows, at: at, meanwhile: s.compact}
			got, err := Run(t.Context(), rows, s.objects, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Partitions, want.Partitions) || got.Records != want.Records {
				t.Errorf("got  %+v\nwant %+v", got.Partitions, want.Partitions)
			}
		})
	}
}

// A checkpoint that moves on while the log start rises leaves what is above that.
func TestMergedAndLetGoMeanwhile(t *testing.T) {
	plain := newStore(t)
	plain.raise(0, 3)
	want, err := Run(t.Context(), plain.rows, plain.objects, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := newMerged(t)
	got, err := Run(t.Context(), s.rows, s.objects, Options{Started: func(int64, func() int64) {
		s.merge(second, 1, piecemeal{compaction: 7, before: sizeOf(p0...), parts: []part{tail}})
		s.cover()
		s.raise(0, 3)
		s.remove(run5())
	}})
	if err != nil {
		t.Fatal(err)
	}
	if g, w := got.Partitions[0], want.Partitions[0]; g.Digest != w.Digest || g.End != w.End || g.First != w.First {
		t.Errorf("got  %+v\nwant %+v", g, w)
	}
}

// What checkpoints came to cover may be gone, and nothing else.
func TestRemovedTooMuchMeanwhile(t *testing.T) {
	s := newStore(t)
	_, err := Run(t.Context(), s.rows, s.objects, Options{Started: func(int64, func() int64) { s.compact(); s.drop(keyOf(second, 1)) }})
	if f, ok := errors.AsType[*FaultError](err); !ok || f.Key != keyOf(second, 1) || !strings.Contains(f.What, "missing") {
		t.Errorf("got %v", err)
	}
}

// A tenure that goes on, and of which the journal has nothing left, is read from
// the index.
func TestTrimmedMeanwhile(t *testing.T) {
	s := newMerged(t)
	s.commit(second, 2, part{partition: 1, epoch: 3, base: 7, batches: []int{1}})
	edit(s, &meta.Partition{Topic: 1, Partition: 1}, func(p *meta.Partition) { p.Owner, p.Epoch, p.FirstSeq = second, 3, 2 })
	edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.FirstSeq = 0 })
	want, err := Run(t.Context(), s.rows, s.objects, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Run(t.Context(), s.rows, s.objects, Options{Started: func(int64, func() int64) {
		s.merge(second, 1, piecemeal{compaction: 7, before: sizeOf(p0...), parts: []part{tail}})
		s.cover()
		later := []part{{partition: 1, base: 4, batches: []int{1}}, {partition: 1, base: 5, batches: []int{2}}}
		s.merge(second, 2, piecemeal{compaction: 6, before: sizeOf(p1...), parts: later})
		edit(s, &meta.Partition{Topic: 1, Partition: 1}, func(p *meta.Partition) {
			p.Tenures, p.Checkpoint.End, p.Checkpoint.Compactions[0].End = nil, 7, 7
			p.Checkpoint.Bytes += sizeOf(later...)
		})
		for seq := range uint64(2) {
			s.remove(&meta.Entry{Session: second, Seq: seq})
			s.drop(keyOf(second, seq))
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Partitions, want.Partitions) {
		t.Errorf("got  %+v\nwant %+v", got.Partitions, want.Partitions)
	}
}

// compact makes newMerged of newStore, and more: all but the last commit of
// partition 0 is merged and trimmed, and all of partition 1.
func (s *store) compact() {
	s.Helper()
	all1 := []part{p1[0], {partition: 1, base: 4, batches: []int{1}}, {partition: 1, base: 5, batches: []int{2}}}
	s.merge(first, 0, piecemeal{compaction: 5, parts: p0[:1]}, piecemeal{compaction: 6, parts: all1})
	s.merge(second, 0, piecemeal{compaction: 7, before: sizeOf(p0[0]), parts: p0[1:]})
	s.put(second+"/checkpoint", s.object(second, 3, part{partition: 0, state: stateAt(9)}))
	edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) {
		p.FirstSeq, p.Tenures, p.State, p.StateEnd = 1, nil, second+"/checkpoint", 9
		p.Checkpoint = meta.Checkpoint{End: 9, Bytes: sizeOf(p0...), Compactions: []meta.Compaction{{ID: 5, End: 3}, {ID: 7, End: 9}}}
	})
	edit(s, &meta.Partition{Topic: 1, Partition: 1}, func(p *meta.Partition) {
		p.Tenures = nil
		p.Checkpoint = meta.Checkpoint{End: 7, Bytes: sizeOf(all1...), Compactions: []meta.Compaction{{ID: 6, End: 7}}}
	})
	s.trim()
	s.remove(&meta.Entry{Session: first, Seq: 2})
	s.drop(keyOf(first, 2))
	s.remove(&meta.Entry{Session: second, Seq: 0})
	s.drop(keyOf(second, 0))
}

// pagedRows reads a journal row by row, as a store does that gives few at a time,
// and lets something happen before one of them.
type pagedRows struct {
	meta.Store
	at        int // the journal row, counted over all, before which it happens
	meanwhile func()
	n         int
}

func (p *pagedRows) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	if kind != meta.Journal {
		return p.Store.Query(ctx, kind, hash, from)
	}
	return func(yield func(meta.Row, error) bool) {
		for {
			if p.n == p.at {
				p.meanwhile()
			}
			p.n++
			var found meta.Row
			for row, err := range p.Store.Query(ctx, kind, hash, from) {
				if err != nil {
					yield(nil, err)
					return
				}
				found = row
				break
			}
			if found == nil || !yield(found, nil) {
				return
			}
			from = found.Key().Range + 1
		}
	}
}

// A topic that grows meanwhile has rows and commits of partitions that it did not
// have when it was read; one that did not grow has none.
func TestGrownMeanwhile(t *testing.T) {
	for _, grown := range []bool{true, false} {
		s := newStore(t)
		grow := func(int64, func() int64) {
			if grown {
				edit(s, &meta.Topic{Name: "orders"}, func(t *meta.Topic) { t.Partitions = 3 })
			}
			s.commit(second, 2, part{partition: 2, epoch: 1, base: 0, batches: []int{1}})
		}
		_, err := Run(t.Context(), s.rows, s.objects, Options{Started: grow})
		if fault, ok := errors.AsType[*FaultError](err); grown && err != nil || !grown && (!ok || !strings.Contains(fault.What, "does not have")) {
			t.Errorf("grown: %t: %v", grown, err)
		}
	}
}
