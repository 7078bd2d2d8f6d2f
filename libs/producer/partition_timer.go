package producer

import (
	"fmt"
	"time"
)

// A partition has one timer for three things: the open batch's linger, the
// wait before a round of transmissions, and the oldest batch's delivery
// timeout. It is armed for the earliest of them, and not moved back when that
// one is gone: it fires, finds nothing due, and arms itself for the next. So a
// busy partition, whose batches are full long before they are due, does not
// touch its timer.

// armLocked makes the timer fire at a time, or earlier if it was to.
func (pt *partition) armLocked(at time.Time) {
	if !pt.mu.armedAt.IsZero() && !at.Before(pt.mu.armedAt) {
		return
	}
	pt.mu.armedAt = at
	if wait := time.Until(at); pt.mu.timer == nil {
		pt.mu.timer = time.AfterFunc(wait, pt.onTimer)
	} else {
		pt.mu.timer.Reset(wait)
	}
}

// onTimer may be called more often than it was armed, for a timer that fires
// while it is reset fires twice. It does what is due and no more.
func (pt *partition) onTimer() {
	pt.mu.Lock()
	now := time.Now()
	pt.mu.armedAt = time.Time{}
	var closed *recordBatch
	if b := pt.mu.open; b != nil && !now.Before(pt.closingTime(b)) {
		closed = pt.closeLocked()
	}
	if pt.mu.backingOff && !now.Before(pt.mu.notBefore) {
		pt.mu.backingOff = false
	}
	pt.expireLocked(now)
	pt.settleLocked()
	pt.rearmLocked()
	pt.mu.Unlock()
	pt.encode(closed)
}

// expireLocked gives up what is older than the delivery timeout. Batches stand
// in the order of their age.
func (pt *partition) expireLocked(now time.Time) {
	cfg := &pt.p.cfg
	for i := range pt.mu.sealed.Len() {
		b := pt.mu.sealed.At(i)
		if now.Sub(b.born) < cfg.deliveryTimeout {
			return
		}
		if !b.resolved() {
			pt.giveUpLocked(b, pt.timeoutErrorLocked())
		}
	}
}

// timeoutErrorLocked says what kept the batch, as far as it is known.
func (pt *partition) timeoutErrorLocked() error {
	last := pt.mu.link.lastError()
	if last == nil {
		last = pt.mu.lastErr
	}
	if last == nil {
		return fmt.Errorf("%w after %v: no answer from the agent", ErrDeliveryTimeout, pt.p.cfg.deliveryTimeout)
	}
	return fmt.Errorf("%w after %v: last error: %w", ErrDeliveryTimeout, pt.p.cfg.deliveryTimeout, last)
}

func (pt *partition) rearmLocked() {
	if b := pt.mu.open; b != nil {
		pt.armLocked(pt.closingTime(b))
	}
	if pt.mu.backingOff {
		pt.armLocked(pt.mu.notBefore)
	}
	if pt.mu.sealed.Len() > 0 {
		pt.armLocked(pt.mu.sealed.At(0).born.Add(pt.p.cfg.deliveryTimeout))
	}
}

// stopTimer is for a producer that has ended: nothing is due any more.
func (pt *partition) stopTimer() {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if pt.mu.timer != nil {
		pt.mu.timer.Stop()
	}
}
