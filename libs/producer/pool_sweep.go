package producer

import (
	"slices"
	"time"
)

// planSweepLocked makes the pool look for what is idle at a time, or earlier if
// it was to. The pool's wait group counts a sweep from when it is planned.
func (p *ConnectionPool) planSweepLocked(at time.Time) {
	if p.mu.closed || p.mu.sweep != nil && !at.Before(p.mu.sweepAt) {
		return
	}
	p.stopSweepLocked()
	p.mu.sweepAt = at
	p.wg.Add(1)
	p.mu.sweep = time.AfterFunc(time.Until(at), func() {
		defer p.wg.Done()
		p.sweep()
	})
}

// stopSweepLocked takes the plan back. A sweep that has begun already finds
// nothing due, or what is.
func (p *ConnectionPool) stopSweepLocked() {
	if p.mu.sweep != nil && p.mu.sweep.Stop() {
		p.wg.Done()
	}
	p.mu.sweep = nil
}

// sweep closes the connections that nobody has used for the idle timeout,
// forgets dials that failed, and plans the next sweep.
func (p *ConnectionPool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopSweepLocked()
	now := time.Now()
	for _, a := range p.mu.agents {
		p.weedLocked(a)
		for _, c := range slices.Clone(a.conns) {
			if c.load == 0 && p.dueLocked(now, c.idleAt.Add(p.cfg.IdleTimeout)) {
				p.removeLocked(c)
			}
		}
		if d := a.dial; d != nil && d.failed() && p.dueLocked(now, d.failedAt.Add(minRedial)) {
			a.dial = nil
		}
		p.dropIfEmptyLocked(a)
	}
}

// dueLocked tells whether it is time, and has a later sweep ask if it is not.
func (p *ConnectionPool) dueLocked(now, at time.Time) bool {
	if now.Before(at) {
		p.planSweepLocked(at)
		return false
	}
	return true
}
