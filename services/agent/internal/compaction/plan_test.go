package compaction

import (
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// planner is a Compactor that only plans, and what its session owns.
func planner(opts Options) *Compactor {
	return New(opts, Deps{Counters: &stats.Stats{}, Logger: slog.New(slog.DiscardHandler)})
}

func tenureOf(topic, partition uint32, checkpoint uint64, sizes ...uint32) *flush.Tenure {
	base := checkpoint
	var ranges []index.Range
	for i, size := range sizes {
		ranges = append(ranges, index.Range{Base: base, Records: 3, Size: size, Segment: &index.Segment{Key: "s", Session: "s", Seq: uint64(i)}})
		base += 3
	}
	row := &meta.Partition{Topic: topic, Partition: partition, Checkpoint: meta.Checkpoint{End: checkpoint, Bytes: 10 * checkpoint}}
	return flush.NewTenure(flush.ID{Topic: topic, Partition: partition}, 1, base, 0, index.Open(row, nil, base, ranges, 0), nil)
}

// Whatever waits, what is due is in the plan once, in order, and no object is much
// larger than asked for, nor has a partition twice, nor one out of its place.
func TestPlan(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			c := planner(Options{Bytes: 1000, Age: time.Minute, Memory: 1 + r.Int64N(5000)})
			var tenures []*flush.Tenure
			for range 1 + r.IntN(20) {
				sizes := make([]uint32, r.IntN(60))
				for i := range sizes {
					sizes[i] = 1 + uint32(r.IntN(200))
				}
				tenures = append(tenures, tenureOf(uint32(r.IntN(3)), uint32(len(tenures)), r.Uint64N(100), sizes...))
				time.Sleep(time.Duration(r.IntN(20)) * time.Second)
			}
			now := time.Now()
			next, planned := map[*flush.Tenure]uint64{}, int64(0)
			for _, batch := range c.plan(tenures, now) {
				held := int64(0)
				for _, o := range batch {
					held += o.size
					planned += o.size
					checkObject(t, c, o, next)
				}
				if len(batch) > 1 && held > c.opts.Memory {
					t.Errorf("seed %d: %d bytes at a time, and there is memory for %d", seed, held, c.opts.Memory)
				}
			}
			if planned > maxBytes*1000+200*int64(len(tenures)) {
				t.Errorf("seed %d: %d bytes in a round", seed, planned)
			}
			full := planned >= maxBytes*1000
			for _, tenure := range tenures {
				tail := tenure.Index.Tail()
				_, end := tenure.Index.Bounds()
				due := len(tail.Ranges) > 0 && (tail.Bytes >= 1000 || now.Sub(tail.Since) >= time.Minute)
				if got, planned := next[tenure]; !full && (due || planned) && got != end {
					t.Errorf("seed %d: %d bytes that wait for %v are planned up to %d of %d", seed, tail.Bytes, now.Sub(tail.Since), got, end)
				}
			}
		})
	}
}

func checkObject(t *testing.T, c *Compactor, o *object, next map[*flush.Tenure]uint64) {
	t.Helper()
	size := int64(0)
	for i, p := range o.parts {
		size += p.size
		tail := p.tenure.Index.Tail()
		due, known := next[p.tenure]
		if !known {
			due = tail.Checkpoint.End
		}
		total := tail.Checkpoint.Bytes
		for _, r := range tail.Ranges {
			if r.End() <= p.end() {
				total += uint64(r.Size)
			}
		}
		if p.base() != due || p.total != total || p.id != c.ids[p.tenure] {
			t.Errorf("a part begins at %d, where %d is due, with a total of %d, want %d", p.base(), due, p.total, total)
		}
		next[p.tenure] = p.end()
		if i > 0 && o.parts[i-1].tenure.ID.Compare(p.tenure.ID) >= 0 {
			t.Errorf("partition %v follows %v", p.tenure.ID, o.parts[i-1].tenure.ID)
		}
	}
	if size != o.size || len(o.parts) > 1 && size > c.opts.Bytes || size > 2*c.opts.Bytes {
		t.Errorf("an object of %d parts has %d bytes, and says %d", len(o.parts), size, o.size)
	}
}

// Who waits a little less than the first that is due comes with it: they lie in
// the same segments. Who has just begun to wait does not.
func TestPlanTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := planner(Options{Bytes: 1000, Age: time.Minute, Memory: 1000})
		tenures := []*flush.Tenure{tenureOf(1, 0, 0, 10)}
		time.Sleep(20 * time.Second)
		tenures = append(tenures, tenureOf(1, 1, 0, 10))
		time.Sleep(30 * time.Second)
		tenures = append(tenures, tenureOf(1, 2, 0, 10))
		if plan := c.plan(tenures, time.Now()); len(plan) > 0 {
			t.Errorf("%d batches before anything is due", len(plan))
		}
		time.Sleep(10 * time.Second)
		plan := c.plan(tenures, time.Now())
		if len(plan) != 1 || len(plan[0]) != 1 || len(plan[0][0].parts) != 2 || plan[0][0].parts[1].tenure != tenures[1] {
			t.Errorf("the plan is %+v", plan)
		}
	})
}

// A partition that cannot be merged waits longer and longer, under another id each
// time, and keeps no other from being merged.
func TestPlanAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := planner(Options{Bytes: 10, Age: time.Minute, Memory: 1000})
		bad, good := tenureOf(1, 0, 0, 10), tenureOf(1, 1, 0, 10)
		tries, ids := 0, map[uint64]bool{}
		for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(time.Second) {
			found := 0
			for _, batch := range c.plan([]*flush.Tenure{bad, good}, time.Now()) {
				for _, o := range batch {
					for _, p := range o.parts {
						if p.tenure == good {
							found++
							continue
						}
						tries++
						ids[p.id] = true
						c.failed(bad, errBefore)
					}
				}
			}
			if found != 1 {
				t.Fatalf("the other partition is planned %d times", found)
			}
		}
		if tries < 8 || tries > 20 || len(ids) != tries {
			t.Errorf("%d tries in ten minutes, under %d ids", tries, len(ids))
		}
	})
}

// What a row says after a merge: the tenures that are covered are gone, those that
// are in part, and the present one, have their commits from the last merged row on.
func TestCovers(t *testing.T) {
	p := &part{id: 7, total: 900, tenure: tenureOf(1, 0, 0), ranges: []index.Range{
		{Base: 10, Records: 5, Segment: &index.Segment{Session: "a", Seq: 3}}, {Base: 15, Records: 5, Segment: &index.Segment{Session: "b", Seq: 8}},
	}}
	states := &States{Key: "state", Ends: map[flush.ID]uint64{p.tenure.ID: 33}}
	before := meta.Partition{
		Owner: "c", Epoch: 3, Start: 30, FirstSeq: 2,
		Checkpoint: meta.Checkpoint{End: 10, Bytes: 500, Compactions: []meta.Compaction{{ID: 5, End: 10}}},
		Tenures:    []meta.Tenure{{Session: "a", Epoch: 1, Start: 0, End: 15, EndSeq: 5}, {Session: "b", Epoch: 2, Start: 15, End: 30, FirstSeq: 6, EndSeq: 12}},
	}
	row := before
	p.covers(&row, states)
	if c := row.Checkpoint; c.End != 20 || c.Bytes != 900 || len(c.Compactions) != 2 || c.Compactions[1] != (meta.Compaction{ID: 7, End: 20}) {
		t.Errorf("the checkpoint is %+v", c)
	}
	if len(row.Tenures) != 1 || row.Tenures[0].FirstSeq != 8 || row.FirstSeq != 2 || row.State != "state" || row.StateEnd != 33 {
		t.Errorf("the row is %+v", row)
	}
	if len(before.Tenures) != 2 || before.Tenures[1].FirstSeq != 6 || len(before.Checkpoint.Compactions) != 1 {
		t.Errorf("the row before was changed: %+v", before)
	}
	p.ranges = []index.Range{{Base: 20, Records: 15, Segment: &index.Segment{Session: "c", Seq: 9}}} // as if of the present tenure
	p.ranges[0].Base = 30
	p.covers(&row, states)
	if row.FirstSeq != 9 || len(row.Tenures) != 0 || len(row.Checkpoint.Compactions) != 2 || row.Checkpoint.Compactions[1].End != 45 {
		t.Errorf("the row is %+v", row)
	}
}

// A partition that cannot be merged, however much of it waits, and for how long,
// lifts no limit for the others, and makes nothing of them due.
func TestStuckPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := planner(Options{Bytes: 10, Age: time.Minute, Memory: 1000})
		sizes := make([]uint32, maxBytes+1)
		for i := range sizes {
			sizes[i] = 10
		}
		stuck := tenureOf(1, 0, 0, sizes...)
		c.waiting[stuck] = waiting{until: time.Now().Add(time.Hour), last: time.Minute}
		time.Sleep(3 * time.Minute)
		fresh := tenureOf(1, 1, 0, 1)
		if batches := c.plan([]*flush.Tenure{stuck, fresh}, time.Now()); len(batches) > 0 || c.pace.behind {
			t.Errorf("%d batches are to be merged of what just came, and the limit is lifted: %t", len(batches), c.pace.behind)
		}
		if batches := c.plan([]*flush.Tenure{stuck, fresh}, time.Now().Add(2*time.Hour)); len(batches) == 0 || !c.pace.behind {
			t.Errorf("it is not tried again, or slowly")
		}
	})
}

// When more waits than a round merges, a round merges the beginning of it all, the
// latest first, and the rest comes in the next rounds.
func TestRoundIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := planner(Options{Bytes: 100, Age: time.Minute, Memory: 200})
		const most = maxBytes * 100
		sizes := func(bytes int) []uint32 {
			all := make([]uint32, bytes/10)
			for i := range all {
				all[i] = 10
			}
			return all
		}
		late := tenureOf(1, 0, 0, sizes(500)...)
		time.Sleep(time.Minute)
		tenures := []*flush.Tenure{late, tenureOf(1, 1, 0, sizes(3*most)...), tenureOf(1, 2, 0, sizes(most)...)}
		planned := map[*flush.Tenure]int64{}
		for _, batch := range c.plan(tenures, time.Now()) {
			for _, o := range batch {
				for _, p := range o.parts {
					planned[p.tenure] += p.size
				}
			}
		}
		rest := int64(most - 500)
		for i, want := range []int64{500, rest * 3 / 4, rest / 4} {
			if got := planned[tenures[i]]; got < want || got > want+10 {
				t.Errorf("of partition %d there are %d bytes in the round, want %d", i, got, want)
			}
		}
		if !c.pace.behind {
			t.Error("the limit of bandwidth holds while more and more waits")
		}
	})
}
