package producer

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// scheduleLocked puts the partition into its link's run queue when there is
// something that the link may send. It is called after every change that could
// make it so. Taking the link's lock inside the partition's is the order
// everywhere; pushing never blocks.
func (pt *partition) scheduleLocked() {
	if pt.mu.queuedAt != pt.mu.link && pt.sendableLocked() {
		pt.mu.queuedAt = pt.mu.link
		pt.mu.link.push(pt)
	}
}

// sendableLocked tells whether a batch may be sent now.
func (pt *partition) sendableLocked() bool {
	if pt.mu.recovering || pt.mu.backingOff || pt.mu.resolving || pt.mu.sent >= pt.p.cfg.maxInFlight {
		return false
	}
	if pt.mu.limit > 0 && pt.mu.flying >= pt.mu.limit {
		return false
	}
	b := pt.upcomingLocked()
	if b == nil {
		return pt.mu.open != nil && pt.eagerLocked()
	}
	return b.state == waiting && !pt.mixesLocked(b)
}

// upcomingLocked returns the oldest batch that is to be sent, or nil.
func (pt *partition) upcomingLocked() *recordBatch {
	for ; pt.mu.sent < pt.mu.sealed.Len(); pt.mu.sent++ {
		if b := pt.mu.sealed.At(pt.mu.sent); !b.resolved() {
			return b
		}
	}
	return nil
}

// mixesLocked tells whether sending b now would have batches of two producer
// ids in flight. The agent keeps the order within one id only: if the last
// batch of the old id were refused for a moment, the first of the new one
// would overtake it.
func (pt *partition) mixesLocked(b *recordBatch) bool {
	first := pt.mu.sealed.At(0)
	return b.id == 0 && first != b && first.id != pt.mu.id
}

// next hands l the batch to send now, marked as sent, or nil. It is here that
// batches are closed which do not linger; one that must be compressed first is
// returned as second result, to be encoded by the caller.
func (pt *partition) next(l *link) (send, encode *recordBatch) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if pt.mu.queuedAt == l {
		pt.mu.queuedAt = nil
	}
	if pt.mu.link != l || !pt.sendableLocked() {
		return nil, nil
	}
	if pt.upcomingLocked() == nil {
		// What was open is now closed, and that alone makes it no batch to send.
		if encode = pt.closeLocked(); encode != nil || !pt.sendableLocked() {
			return nil, encode
		}
	}
	b := pt.upcomingLocked()
	if b.id == 0 {
		pt.numberLocked(b)
	}
	b.state, b.pending = flying, true
	if b.sends++; b.sends == 1 {
		pt.p.fresh.Add(1)
	}
	pt.mu.sent++
	pt.mu.flying++
	pt.scheduleLocked()
	return b, nil
}

// maxIdleID is how long a producer id is used after a pause. Agents remember
// one for 24 hours after its last batch; the first batch after a longer pause
// would be refused and its fate be unknown.
const maxIdleID = 12 * time.Hour

// numberLocked gives b its identity.
func (pt *partition) numberLocked(b *recordBatch) {
	// Round(0) drops the monotonic reading, which stands still while a laptop
	// sleeps. A wall clock that jumps costs a fresh id and nothing else.
	born := b.born.Round(0)
	if pt.mu.sealed.At(0) == b && born.Sub(pt.mu.lastSend) > maxIdleID {
		pt.mu.id = 0
	}
	if pt.mu.id == 0 {
		pt.mu.id, pt.mu.nextSeq = freshID(), 0
	}
	pt.mu.lastSend = born
	b.id, b.seq = pt.mu.id, pt.mu.nextSeq
	pt.mu.nextSeq++
}

// freshID returns a random producer id, which is not zero.
func freshID() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // it never fails, as its doc promises
		if id := binary.LittleEndian.Uint64(b[:]); id != 0 {
			return id
		}
	}
}

// unqueue notes that l took the partition out of its run queue.
func (pt *partition) unqueue(l *link) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if pt.mu.queuedAt == l {
		pt.mu.queuedAt = nil
	}
}

// requeue puts the partition back into the run queue that l took it out of, if
// it still belongs there.
func (pt *partition) requeue(l *link) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if pt.mu.queuedAt == l {
		pt.mu.queuedAt = nil
		pt.scheduleLocked()
	}
}

// answered takes the agent's answer for a transmission of b: err is nil when b
// was appended at base. It tells whether b will be sent again.
func (pt *partition) answered(b *recordBatch, base uint64, err *reason.Error) (again bool) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.landLocked(b)
	switch {
	case b.state != flying: // given up before the answer came
	case err == nil:
		b.state, b.base = acked, base
		pt.mu.moves, pt.mu.lastErr = 0, nil
		pt.mu.grow(pt.p.cfg.maxInFlight)
	default:
		pt.refusedLocked(b, err)
		again = b.state == waiting
	}
	pt.settleLocked()
	return again
}

// lost takes b back from a stream that ended without an answer for it. It tells
// whether b will be sent again.
func (pt *partition) lost(b *recordBatch, err *reason.Error) (again bool) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.landLocked(b)
	if b.state == flying {
		b.doubtful = true
		pt.mu.lastErr = err
		pt.bounceLocked(b)
		again = true
	}
	pt.settleLocked()
	return again
}

func (pt *partition) landLocked(b *recordBatch) {
	b.pending = false
	pt.mu.flying--
}

// settleLocked brings the partition forward after anything happened to its
// batches: it delivers what is resolved, ends a recovery that nothing is in
// the air for any more, and has the link send what may be sent.
func (pt *partition) settleLocked() {
	pt.deliverLocked()
	if pt.mu.flying == 0 {
		if pt.mu.recovering {
			pt.recoverLocked()
			pt.deliverLocked()
		}
		pt.switchLocked()
	}
	pt.scheduleLocked()
}

// deliverLocked hands the resolved batches at the front to the deliverer, in
// order. The queue of completions has a lock of its own, the last in order.
func (pt *partition) deliverLocked() {
	for pt.mu.sealed.Len() > 0 && pt.mu.sealed.At(0).resolved() {
		pt.p.done.push(completion{batch: pt.mu.sealed.Pop()})
		pt.mu.sent = max(0, pt.mu.sent-1)
	}
}
