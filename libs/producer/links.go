package producer

import (
	"slices"
	"sync"

	"github.com/streamhouse/streamhouse/libs/producer/internal/breaker"
)

// links are a producer's, by agent. A link lives as long as a partition uses it
// or its goroutine runs, an agent as long as a link to it does: addresses come
// and go with every task of a service.
type links struct {
	mu     sync.Mutex
	agents map[string]*agent
}

// agent is what the links to one address share.
type agent struct {
	address string
	breaker *breaker.Breaker
	slots   []*link // of WithConnections; nil where there is none. links.mu guards it
}

// link returns the link for a partition whose owner is at address; empty stands
// for a seed. It must be given back with unlink.
func (p *Producer) link(address string, partition uint32) *link {
	if address == "" {
		address = p.meta.seed()
	}
	slot := int(partition) % p.cfg.connections
	p.links.mu.Lock()
	defer p.links.mu.Unlock()
	a := p.links.agents[address]
	if a == nil {
		a = &agent{
			address: address, slots: make([]*link, p.cfg.connections),
			breaker: breaker.New(p.cfg.breaker.Failures, p.cfg.breaker.OpenFor),
		}
		p.links.agents[address] = a
	}
	l := a.slots[slot]
	if l == nil {
		l = &link{p: p, agent: a, slot: slot, wake: make(chan struct{}, 1)}
		a.slots[slot] = l
	}
	l.users++
	return l
}

// unlink gives a link back that p.link returned.
func (p *Producer) unlink(l *link) {
	p.links.mu.Lock()
	defer p.links.mu.Unlock()
	l.users--
	p.links.dropLocked(l)
}

// drop forgets a link whose goroutine has ended, unless it is still used.
func (s *links) drop(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(l)
}

func (s *links) dropLocked(l *link) {
	a := l.agent
	if l.users > 0 || l.isRunning() || a.slots[l.slot] != l {
		return
	}
	a.slots[l.slot] = nil
	if !slices.ContainsFunc(a.slots, func(l *link) bool { return l != nil }) {
		delete(s.agents, a.address)
	}
}
