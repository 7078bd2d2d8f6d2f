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

// Latency is a histogram of durations in microseconds. It is safe for
// concurrent use, and its zero value is empty.
type Latency struct {
	buckets [64 * subBuckets]atomic.Uint64
	count   atomic.Uint64
	max     atomic.Int64
}

// Observe adds one duration.
func (l *Latency) Observe(d time.Duration) {
	l.buckets[bucket(uint64(max(0, d.Microseconds())))].Add(1)
	l.count.Add(1)
	for {
		old := l.max.Load()
		if int64(d) <= old || l.max.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

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

// Quantile returns the duration that a share q of all observations, from 0 to
// 1, does not exceed; 0 when there are none.
func (l *Latency) Quantile(q float64) time.Duration {
	rest := uint64(q * float64(l.count.Load()))
	for b := range l.buckets {
		n := l.buckets[b].Load()
		if n > rest {
			return min(time.Duration(upper(b))*time.Microsecond, time.Duration(l.max.Load()))
		}
		rest -= n
	}
	return time.Duration(l.max.Load())
}

// Count returns how many durations were observed.
func (l *Latency) Count() uint64 { return l.count.Load() }

// Max returns the longest duration observed.
func (l *Latency) Max() time.Duration { return time.Duration(l.max.Load()) }
