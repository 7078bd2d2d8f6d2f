package histogram

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A wrong bucket index would shift every reported latency.
func TestQuantilesMatchSortedSamples(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	samples := make([]time.Duration, 20_000)
	for i := range samples {
		samples[i] = time.Duration(rng.ExpFloat64() * float64(40*time.Millisecond))
		h.Record(samples[i])
	}
	slices.Sort(samples)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := samples[min(int(q*float64(len(samples))), len(samples)-1)]
		got := h.Quantile(q)
		if got < want || float64(got) > float64(want)*(1+1.0/subCount)+1 {
			t.Errorf("quantile %v = %v, want %v to %.1f %% more", q, got, want, 100.0/subCount)
		}
	}
	if got := h.Count(); got != uint64(len(samples)) {
		t.Errorf("count = %d, want %d", got, len(samples))
	}
	if got, want := h.Max(), samples[len(samples)-1]; got != want {
		t.Errorf("max = %v, want %v", got, want)
	}
}

// Every duration must lie in the bucket whose bounds hold it, at the edges
// above all, and the largest one must not fall outside of the array.
func TestBucketBounds(t *testing.T) {
	edges := []time.Duration{0, 1, 63, 64, 65, 127, 128, 129, 130, 255, 256, 1 << 20, 1<<20 - 1, 1<<62 + 5, 1<<63 - 1}
	for _, d := range edges {
		i := bucket(d)
		if i < 0 || i >= bucketCount {
			t.Fatalf("%d ns: bucket %d is outside of %d", d, i, bucketCount)
		}
		if d > upperBound(i) || i > 0 && d <= upperBound(i-1) {
			t.Errorf("%d ns: bucket %d spans (%d, %d]", d, i, upperBound(i-1), upperBound(i))
		}
	}
}

func TestEmpty(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Max() != 0 || h.Count() != 0 {
		t.Error("an empty histogram must answer 0")
	}
	h.Record(-time.Second)
	if h.Quantile(1) != 0 || h.Count() != 1 {
		t.Error("a negative duration must count as 0")
	}
}

// The benchmark records from the producer's callbacks: an allocation there
// would be charged to the library.
func TestRecordAllocatesNothing(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Record(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations per Record", n)
	}
}
