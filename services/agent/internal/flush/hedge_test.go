package flush_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
)

// While one PUT is slow, what stands behind it is committed by one row, and
// others go on being written: what waits for a commit takes nobody's place.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := start(t, settings{
			Options: flush.Options{Concurrency: 2, Age: ms},
			plan:    faults.Plan{Commit: faults.Latency{P50: 4 * ms}},
			put: func(number uint64) {
				if number == 0 {
					time.Sleep(time.Second)
				}
				time.Sleep(10 * ms)
			},
		})
		p.own(2)
		var all []*question
		for i := range 40 {
			all = append(all, p.send(at(i%2), encode(1, uint64(i/2), 2, 0)))
			time.Sleep(20 * ms)
		}
		p.check(all)
		for i, q := range all {
			if when := q.must(t).when.Sub(began); when != 1014*ms {
				t.Errorf("batch %d was answered after %v, and the first PUT took 1010 ms", i, when)
			}
		}
		if segments, rows := p.Horizon(), p.commits(); segments != 40 || rows != 1 {
			t.Errorf("%d rows commit %d segments", rows, segments)
		}
		p.stop()
	})
}

// A row names no more than fits: what stands beyond that is the next row's.
func TestGroupLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{
			Options: flush.Options{Concurrency: 2, Age: ms, BufferBytes: 1 << 20},
			put: func(number uint64) {
				if number == 0 {
					time.Sleep(5 * time.Second)
				}
			},
		})
		p.own(1)
		var all []*question
		for i := range uint64(100) {
			all = append(all, p.send(at(0), encode(1, i, 1, 0)))
			time.Sleep(20 * ms)
		}
		p.check(all)
		if rows := p.commits(); rows != 2 { // 64 and 36
			t.Errorf("%d rows for 100 segments", rows)
		}
		p.stop()
	})
}

// Nor does a row hold more commits than it may, whatever number of partitions
// the segments that stand have.
func TestGroupCommitsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions = journal.MaxCommits/2 + 100
		p := start(t, settings{
			Options: flush.Options{Concurrency: 2, Age: ms, Bytes: 4 << 20, MaxProducers: 1 << 20},
			put: func(number uint64) {
				if number == 0 {
					time.Sleep(5 * time.Second)
				}
			},
		})
		p.own(partitions)
		var all []*question
		for seq := range uint64(2) {
			for i := range partitions {
				all = append(all, p.send(at(i), encode(1, seq, 1, 0)))
			}
			time.Sleep(20 * ms)
		}
		p.check(all)
		if segments, rows := p.Horizon(), p.commits(); segments < 2 || rows < 2 {
			t.Errorf("%d rows for %d commits in %d segments", rows, 2*partitions, segments)
		}
		for row, err := range journal.Read(t.Context(), p.rows, session, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if n := len(commitsOf(t, row)); n > journal.MaxCommits {
				t.Errorf("row %d has %d commits", row.Seq, n)
			}
		}
		p.stop()
	})
}

// paced sends a full segment every 12 ms, as 340 MiB/s in segments of 4 MiB
// are, to a store of 60/200 ms, and returns the latencies, sorted, and how many
// PUTs there were for a segment.
func paced(t *testing.T, budget float64) (latencies []time.Duration, puts float64) {
	t.Helper()
	const segments = 4000
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{
			Options: flush.Options{Concurrency: 32, BufferBytes: 1 << 20, HedgeBudget: budget},
			plan:    faults.Plan{Seed: 1, Put: faults.Latency{P50: 60 * ms, P99: 200 * ms}, Commit: faults.Latency{P50: 4 * ms, P99: 10 * ms}},
		})
		p.own(1)
		var all []*question
		for i := range uint64(segments) {
			all = append(all, p.send(at(0), encode(1, i, 1, 4000)))
			time.Sleep(12 * ms)
			if i >= 100 { // the window that agents remember is 128
				all[i-100].must(t)
			}
		}
		for _, q := range all {
			latencies = append(latencies, q.must(t).when.Sub(q.sent))
		}
		p.check(all)
		puts = float64(p.injector.Ops()[faults.Put]) / segments
		p.stop()
	})
	slices.Sort(latencies)
	return latencies, puts
}

// Second copies of slow PUTs take at least a tenth off the 99th percentile, for
// at most 6 % more PUTs.
func TestHedging(t *testing.T) {
	plain, once := paced(t, 0)
	hedged, twice := paced(t, 0.05)
	rank := func(all []time.Duration, r float64) time.Duration { return all[int(r*float64(len(all)))] }
	for _, r := range []float64{0.5, 0.99} {
		t.Logf("p%v: %v without, %v with", 100*r, rank(plain, r), rank(hedged, r))
	}
	t.Logf("PUTs per segment: %v without, %v with", once, twice)
	if once != 1 || twice < 1.02 || twice > 1.06 {
		t.Errorf("%v PUTs per segment, and %v with second copies", once, twice)
	}
	if with, without := rank(hedged, 0.99), rank(plain, 0.99); with > without*9/10 {
		t.Errorf("p99 is %v with second copies, and %v without", with, without)
	}
}

// Whichever copy stands, and whatever becomes of the other, every batch is in
// the log once, in order, and no buffer is used again while a copy reads it.
func TestHedgedFaults(t *testing.T) {
	copies := uint64(0)
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			var rules []faults.Rule
			for _, kind := range []faults.Kind{faults.ErrBefore, faults.ErrAfter, faults.Late, faults.Pause} {
				rules = append(rules, faults.Rule{
					Kind: kind, First: 1 + r.Uint64N(20), Every: 20 + 7*r.Uint64N(9), Pause: time.Duration(r.IntN(int(time.Second))),
				})
			}
			p := start(t, settings{
				Options: flush.Options{Concurrency: 8, Age: 5 * ms, AckTimeout: 10 * time.Minute, HedgeBudget: 0.5, BufferBytes: 4 << 20},
				plan: faults.Plan{
					Seed: seed, Put: faults.Latency{P50: 20 * ms, P99: 200 * ms}, Commit: faults.Latency{P50: 4 * ms, P99: 10 * ms}, Rules: rules,
				},
			})
			p.own(2)
			var all []*question
			for i := range 240 {
				all = append(all, p.send(at(i%2), encode(uint64(1+i/2%3), uint64(i/6), 1+i%4, 100*(i%5))))
				time.Sleep(5 * ms)
			}
			p.check(all)
			copies += p.injector.Ops()[faults.Put] - p.Horizon()
			p.stop()
			p.check(all)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
	if copies < 20 {
		t.Errorf("only %d PUTs were repeated", copies)
	}
}
