package producer

import (
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// agentConns are the connections to one agent. The pool's mutex guards them.
// Agents with nothing in here are dropped from the pool.
type agentConns struct {
	address string
	conns   []*sharedConn
	dial    *dial // under way, or failed a moment ago; else nil
	// leaving are connections that are being closed, and dials that are being
	// given up. At the maximum, the next dial waits for them.
	leaving []<-chan struct{}
}

// sharedConn is one connection.
type sharedConn struct {
	agent   *agentConns
	client  *grpc.ClientConn
	load    int           // the weight of its users
	retired bool          // handed out no more; closed when load is 0
	idleAt  time.Time     // since when load is 0
	gone    chan struct{} // closed when the connection is; nil until it is to be
}

// want is what somebody asks for.
type want struct {
	address string
	// weight is the share of StreamsPerConnection. With all of it one has the
	// connection alone, as long as MaxConnections allows.
	weight int
	// patient: wait for another connection rather than share a full one.
	patient bool
	waited  *dial // that ended since
}

// choose returns a connection, or the dial to wait for, or an error.
func (p *ConnectionPool) choose(w want) (*PooledConn, *dial, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return nil, nil, ErrPoolClosed
	}
	a := p.mu.agents[w.address]
	if a == nil {
		a = &agentConns{address: w.address}
		p.mu.agents[w.address] = a
	}
	defer p.dropIfEmptyLocked(a)
	p.weedLocked(a)
	return p.chooseLocked(a, w)
}

func (p *ConnectionPool) chooseLocked(a *agentConns, w want) (*PooledConn, *dial, error) {
	best, d := a.leastLoaded(), w.waited
	if best != nil && p.suitsLocked(best, w) {
		return p.takeLocked(best, w.weight), nil, nil
	}
	if d == nil || !d.failed() {
		d = p.growLocked(a, best != nil)
	}
	switch {
	case best != nil && (!w.patient || d == nil || d.failed()):
		return p.takeLocked(best, w.weight), nil, nil
	case d.failed():
		return nil, nil, d.err
	default:
		return nil, d, nil
	}
}

// suitsLocked tells whether c can be taken without growth. Those who waited for
// one connection together share it: a thousand who come at once are no reason
// for a second one yet.
func (p *ConnectionPool) suitsLocked(c *sharedConn, w want) bool {
	return c.load == 0 ||
		c.load+w.weight <= p.cfg.StreamsPerConnection ||
		w.waited != nil && !w.waited.failed() && !w.patient
}

// leastLoaded returns nil if no connection can be handed out.
func (a *agentConns) leastLoaded() *sharedConn {
	var best *sharedConn
	for _, c := range a.conns {
		if !c.retired && (best == nil || c.load < best.load) {
			best = c
		}
	}
	return best
}

// growLocked returns the dial under way, or begins one. It returns nil where
// there is no room, and the last dial if that failed a moment ago.
func (p *ConnectionPool) growLocked(a *agentConns, usable bool) *dial {
	if a.dial != nil && (!a.dial.failed() || time.Since(a.dial.failedAt) < minRedial) {
		return a.dial
	}
	if len(a.conns) >= p.cfg.MaxConnections {
		if usable {
			return nil
		}
		p.removeLocked(a.conns[0]) // all are retired
	}
	return p.beginDialLocked(a)
}

func (p *ConnectionPool) takeLocked(c *sharedConn, weight int) *PooledConn {
	c.load += weight
	return &PooledConn{pool: p, conn: c, weight: weight}
}

// weedLocked retires the connections that are not ready any more.
func (p *ConnectionPool) weedLocked(a *agentConns) {
	for _, c := range slices.Clone(a.conns) {
		if c.client.GetState() != connectivity.Ready {
			p.retireLocked(c)
		}
	}
}

func (p *ConnectionPool) retireAllLocked(a *agentConns) {
	for _, c := range slices.Clone(a.conns) {
		p.retireLocked(c)
	}
	p.dropIfEmptyLocked(a)
}

// retireLocked hands c out no more, and closes it if nobody uses it.
func (p *ConnectionPool) retireLocked(c *sharedConn) {
	c.retired = true
	if c.load == 0 {
		p.removeLocked(c)
	}
}

// removeLocked takes c out and closes it in a goroutine: on a network that
// carries nothing any more, that takes gRPC seconds.
func (p *ConnectionPool) removeLocked(c *sharedConn) {
	if c.gone != nil {
		return
	}
	c.gone, c.retired = make(chan struct{}), true
	c.agent.leaving = append(c.agent.leaving, c.gone)
	c.agent.conns = slices.DeleteFunc(c.agent.conns, func(other *sharedConn) bool { return other == c })
	p.wg.Go(func() {
		_ = c.client.Close() // it only ever says that it is closed already
		close(c.gone)
		p.left(c.agent)
	})
}

// left forgets what has left the agent.
func (p *ConnectionPool) left(a *agentConns) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.leaving = slices.DeleteFunc(slices.Clone(a.leaving), func(gone <-chan struct{}) bool {
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
	p.dropIfEmptyLocked(a)
}

func (p *ConnectionPool) dropIfEmptyLocked(a *agentConns) {
	if len(a.conns) == 0 && a.dial == nil && len(a.leaving) == 0 && p.mu.agents[a.address] == a {
		delete(p.mu.agents, a.address)
	}
}
