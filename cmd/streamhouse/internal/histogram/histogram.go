// Package histogram counts durations in buckets of constant relative width,
// so that a long run needs no more memory than a short one.
package histogram

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// subBits splits each power of two into 64 buckets: a quantile is at most
	// 1/64 (1.6 %) above the true one.
	subBits  = 6
	subCount = 1 << subBits
	// A duration has 63 bits. Those below 64 ns have a bucket each; every
	// further bit adds one run of 64.
	bucketCount = (63 - subBits + 1) * subCount
)

// Histogram counts durations. The zero value is empty and ready. It takes
// 29 KiB, allocates nothing, and is safe for concurrent use.
type Histogram struct {
	counts [bucketCount]atomic.Uint64
	max    atomic.Int64
}

// Record counts d; a negative d counts as 0.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(d)].Add(1)
	for {
		seen := h.max.Load()
		if int64(d) <= seen || h.max.CompareAndSwap(seen, int64(d)) {
			return
		}
	}
}

// Count is how many durations were recorded.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Quantile is the smallest bucket bound that at least the share q of all
// durations do not exceed; 0 when nothing was recorded. q is from 0 to 1.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.Count()
	if total == 0 {
		return 0
	}
	rank := min(uint64(q*float64(total)), total-1)
	var seen uint64
	for i := range h.counts {
		seen += h.counts[i].Load()
		if seen > rank {
			return min(upperBound(i), time.Duration(h.max.Load()))
		}
	}
	return time.Duration(h.max.Load())
}

// Max is the longest duration recorded.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max.Load()) }

// bucket is the index of d's bucket: the position of its highest bit, then the
// next six bits.
func bucket(d time.Duration) int {
	u := uint64(d)
	shift := max(bits.Len64(u)-subBits-1, 0)
	return shift*subCount + int(u>>shift)
}

// upperBound is the longest duration that falls into bucket i.
func upperBound(i int) time.Duration {
	if i < 2*subCount {
		return time.Duration(i)
	}
	shift := i/subCount - 1
	mantissa := i - shift*subCount
	return time.Duration(mantissa+1)<<shift - 1
}
