// Package stats counts what an agent does and how long its stores take.
package stats

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// subBuckets is how finely each power of two is divided: a reading is at most
// one part in 16 too high.
const subBuckets = 16

// Latency is a Histogram of durations, in microseconds.
type Latency struct{ Histogram }

// Observe adds one duration.
func (l *Latency) Observe(d time.Duration) { l.Histogram.Observe(uint64(max(0, d.Microseconds()))) }

// Quantile returns the duration that a share q of all observations, from 0 to
// 1, does not exceed; 0 when there are none.
func (l *Latency) Quantile(q float64) time.Duration { return microseconds(l.Histogram.Quantile(q)) }

// Max returns the longest duration observed.
func (l *Latency) Max() time.Duration { return microseconds(l.Histogram.Max()) }

func microseconds(v uint64) time.Duration { return time.Duration(v) * time.Microsecond }

// Histogram counts values. It is safe for concurrent use, and its zero value
// is empty.
type Histogram struct {
	buckets         [Buckets]atomic.Uint64
	count, sum, max atomic.Uint64
}

// Buckets is how many buckets a Histogram has.
const Buckets = 64 * subBuckets

// Observe adds one value.
func (h *Histogram) Observe(v uint64) {
	h.buckets[bucket(v)].Add(1)
	h.count.Add(1)
	h.sum.Add(v)
	for {
		old := h.max.Load()
		if v <= old || h.max.CompareAndSwap(old, v) {
			return
		}
	}
}

// Counts is what a Histogram held at one moment.
type Counts struct {
	Buckets [Buckets]uint64
	Sum     uint64
}

// Counts copies what was observed so far.
func (h *Histogram) Counts() *Counts {
	c := &Counts{Sum: h.sum.Load()}
	for i := range c.Buckets {
		c.Buckets[i] = h.buckets[i].Load()
	}
	return c
}

// Upper is the highest value that falls into a bucket.
func Upper(b int) uint64 { return upper(b) }

// bucket numbers values so that each power of two takes subBuckets numbers;
// small values have one each.
func bucket(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - bits.Len64(subBuckets)
	return (shift+1)*subBuckets + int(v>>shift) - subBuckets
}

// upper is the highest value of a bucket.
func upper(b int) uint64 {
	if b < subBuckets {
		return uint64(b)
	}
	shift := b/subBuckets - 1
	return (uint64(b%subBuckets+subBuckets+1) << shift) - 1
}

// Quantile returns the value that a share q of all observations, from 0 to 1,
// does not exceed; 0 when there are none.
func (h *Histogram) Quantile(q float64) uint64 {
	rest := uint64(q * float64(h.count.Load()))
	for b := range h.buckets {
		n := h.buckets[b].Load()
		if n > rest {
			return min(upper(b), h.max.Load())
		}
		rest -= n
	}
	return h.max.Load()
}

// Count returns how many values were observed.
func (h *Histogram) Count() uint64 { return h.count.Load() }

// Max returns the highest value observed.
func (h *Histogram) Max() uint64 { return h.max.Load() }
