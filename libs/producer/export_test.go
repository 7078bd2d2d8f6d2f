package producer

import "time"

// InFlight returns how many batches, and bytes of them, are sent and not
// answered.
func InFlight(p *Producer) (batches, size int) {
	for _, t := range p.topics.all(false) {
		for _, pt := range *t.partitions.Load() {
			pt.mu.Lock()
			for i := range pt.mu.sealed.Len() {
				if b := pt.mu.sealed.At(i); b.pending {
					batches++
					size += len(b.data)
				}
			}
			pt.mu.Unlock()
		}
	}
	return batches, size
}

// Buffered returns what the quota counts.
func Buffered(p *Producer) (records, bytes int) { return p.quota.Used() }

// Jittered is the wait with jitter.
func Jittered(r RetryPolicy, wait time.Duration) time.Duration { return r.jittered(wait) }

// NewLatency returns an estimate that takes measurements and tells what it
// knows.
func NewLatency() func(...time.Duration) (time.Duration, bool) {
	var l latency
	return func(measured ...time.Duration) (time.Duration, bool) {
		for _, d := range measured {
			l.add(d)
		}
		return l.p99()
	}
}
