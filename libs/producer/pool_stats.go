package producer

import "google.golang.org/grpc/connectivity"

// PoolStats is what a ConnectionPool holds at a moment.
type PoolStats struct {
	// Agents holds the agents that there are connections to, by address.
	Agents map[string]AgentStats
	// Dials counts the attempts to connect since the pool was made, and
	// FailedDials those that failed.
	Dials, FailedDials uint64
}

// AgentStats counts the connections to one agent.
type AgentStats struct {
	// Healthy connections are ready to be handed out; InUse of them are, to
	// one user or to several.
	Healthy, InUse int
	// Retired connections are handed out no more and still used.
	Retired int
	// Connecting is 1 while a connection is being made.
	Connecting int
}

// Stats counts what there is.
func (p *ConnectionPool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PoolStats{Agents: make(map[string]AgentStats, len(p.mu.agents)), Dials: p.mu.dials, FailedDials: p.mu.failedDials}
	for address, a := range p.mu.agents {
		s.Agents[address] = a.stats()
	}
	return s
}

func (a *agentConns) stats() AgentStats {
	var s AgentStats
	for _, c := range a.conns {
		switch {
		case c.retired || c.client.GetState() != connectivity.Ready:
			s.Retired++
		default:
			s.Healthy++
			if c.load > 0 {
				s.InUse++
			}
		}
	}
	if a.dial != nil && !a.dial.failed() {
		s.Connecting = 1
	}
	return s
}

// PoolStats counts the connections of the producer.
func (p *Producer) PoolStats() PoolStats { return p.conns.Stats() }
