package producer

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
)

// Stats is what a producer holds at a moment. Its parts are read one after the
// other, so sums may be off by what happened meanwhile.
type Stats struct {
	// BufferedRecords and BufferedBytes are those that were taken and not
	// resolved, in flight ones included. Bytes are encoded ones before
	// compression.
	BufferedRecords, BufferedBytes int
	// MaxBufferedRecords and MaxBufferedBytes are the limits.
	MaxBufferedRecords, MaxBufferedBytes int
	// Waiting are the records that wait for room in the buffer.
	Waiting int
	// Topics are those that the producer has sent to and that exist still.
	Topics int
	// InFlightBatches and InFlightBytes are those that were sent and not
	// answered. Bytes are compressed ones.
	InFlightBatches, InFlightBytes int
	// Streams are those that are open to agents, one per agent unless
	// WithConnections asks for more.
	Streams int
	// Agents has the same by agent, ordered by address: those with a stream,
	// with something in flight, or with a circuit breaker that is not closed.
	Agents []AgentState
}

// AgentState is what a producer has to do with one agent at a moment.
type AgentState struct {
	// Address is the one that was dialled.
	Address                        string
	Streams                        int
	InFlightBatches, InFlightBytes int
	// Breaker says whether the agent is sent to.
	Breaker BreakerState
}

// Stats returns what the producer holds now. It is safe for concurrent use and
// cheap enough for a scrape: it looks at agents, not at partitions. It may be
// called after Close.
func (p *Producer) Stats() Stats {
	s := Stats{
		MaxBufferedRecords: p.cfg.maxBufferedRecords,
		MaxBufferedBytes:   p.cfg.maxBufferedBytes,
		Waiting:            p.quota.Waiting(),
		Topics:             len(*p.topics.names.Load()),
	}
	s.BufferedRecords, s.BufferedBytes = p.quota.Used()
	for _, a := range p.agentStates() {
		s.Streams += a.Streams
		s.InFlightBatches += a.InFlightBatches
		s.InFlightBytes += a.InFlightBytes
		if a.Streams > 0 || a.InFlightBatches > 0 || a.Breaker != BreakerClosed {
			s.Agents = append(s.Agents, a)
		}
	}
	slices.SortFunc(s.Agents, func(a, b AgentState) int { return cmp.Compare(a.Address, b.Address) })
	return s
}

func (p *Producer) agentStates() []AgentState {
	p.links.mu.Lock()
	agents := slices.Collect(maps.Values(p.links.agents))
	states := make([]AgentState, len(agents))
	for i, a := range agents {
		states[i].Address = a.address
		for _, l := range a.slots {
			if l != nil {
				l.gauges.addTo(&states[i])
			}
		}
	}
	p.links.mu.Unlock()
	for i, a := range agents { // a breaker's lock is taken alone
		states[i].Breaker = breakerState(a.breaker.State())
	}
	return states
}

// gauges are what Stats shows of a link, apart from its locks.
type gauges struct {
	open, batches, bytes atomic.Int64
}

func (g *gauges) launch(size int) {
	g.batches.Add(1)
	g.bytes.Add(int64(size))
}

func (g *gauges) land(size int) {
	g.batches.Add(-1)
	g.bytes.Add(-int64(size))
}

func (g *gauges) addTo(a *AgentState) {
	a.Streams += int(g.open.Load())
	a.InFlightBatches += int(g.batches.Load())
	a.InFlightBytes += int(g.bytes.Load())
}
