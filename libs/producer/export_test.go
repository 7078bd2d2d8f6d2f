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

// Loads returns the users of each connection to an agent.
func Loads(p *ConnectionPool, address string) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var loads []int
	for _, c := range p.mu.agents[address].conns {
		loads = append(loads, c.load)
	}
	return loads
}

// Links returns how many agents and links to them a producer knows.
func Links(p *Producer) (agents, links int) {
	p.links.mu.Lock()
	defer p.links.mu.Unlock()
	for _, a := range p.links.agents {
		for _, l := range a.slots {
			if l != nil {
				links++
			}
		}
	}
	return len(p.links.agents), links
}

// Breaker returns the state of an agent's circuit breaker.
func Breaker(p *Producer, address string) string {
	p.links.mu.Lock()
	defer p.links.mu.Unlock()
	return p.links.agents[address].breaker.State().String()
}
