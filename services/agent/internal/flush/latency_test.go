package flush_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
)

// steady sends a batch every 3.3 ms to one of 16 partitions, as 30 MiB/s in
// batches of 100 KiB are, to a store of 60/200 and 4/10 ms, and returns the
// latencies, sorted, and how many PUTs there were for a segment. The sizes are a
// hundredth, which changes no time.
func steady(t *testing.T, budget float64) (latencies []time.Duration, puts float64) {
	t.Helper()
	const batches, partitions = 18_000, 16
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{
			Options: flush.Options{Bytes: 42_000, Age: 50 * ms, Concurrency: 16, BufferBytes: 8 << 20, HedgeBudget: budget},
			plan:    faults.Plan{Seed: 3, Put: faults.Latency{P50: 60 * ms, P99: 200 * ms}, Commit: faults.Latency{P50: 4 * ms, P99: 10 * ms}},
		})
		p.own(partitions)
		var all []*question
		for i := range uint64(batches) {
			all = append(all, p.send(at(int(i%partitions)), encode(1, i/partitions, 1, 1000)))
			time.Sleep(3300 * time.Microsecond)
		}
		for _, q := range all {
			latencies = append(latencies, q.must(t).when.Sub(q.sent))
		}
		puts = float64(p.injector.Ops()[faults.Put]) / float64(p.Horizon())
		p.stop()
	})
	slices.Sort(latencies)
	return latencies, puts
}

// At 30 MiB/s and with flushes every 50 ms, half of the batches are
// acknowledged within 130 ms of a store of S3's and DynamoDB's latencies, and
// 99 % within 300 ms. Virtual time: what the machine adds is not in it.
func TestLatencyOnAWS(t *testing.T) {
	rank := func(all []time.Duration, r float64) time.Duration { return all[int(r*float64(len(all)))] }
	plain, _ := steady(t, 0)
	hedged, puts := steady(t, 0.05)
	for _, r := range []float64{0.5, 0.99} {
		t.Logf("p%v: %v without second copies, %v with", 100*r, rank(plain, r), rank(hedged, r))
	}
	t.Logf("%v PUTs per segment", puts)
	if p50, p99 := rank(hedged, 0.5), rank(hedged, 0.99); p50 > 130*ms || p99 > 300*ms {
		t.Errorf("p50 %v and p99 %v, want at most 130 and 300 ms", p50, p99)
	}
	if puts > 1.06 {
		t.Errorf("%v PUTs per segment", puts)
	}
	if with, without := rank(hedged, 0.99), rank(plain, 0.99); with > without*9/10 {
		t.Errorf("p99 is %v with second copies, and %v without", with, without)
	}
}
