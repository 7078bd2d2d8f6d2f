package producer

import (
	"fmt"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// recovery is what a partition remembers between the first refusal of a batch
// and the next round of transmissions. The partition's mutex guards it.
type recovery struct {
	// recovering: some batch has to be sent again. Nothing is sent until all
	// that is in the air has come down, for the agent refuses what comes after
	// a gap, and only then is it clear from where on to send again.
	recovering bool
	// renew: the batch with this identity, the first if there are several, was
	// given up. The agent may wait for it for ever, so what comes after it goes
	// on under a fresh producer id.
	renew           bool
	holeID, holeSeq uint64

	moved      *reason.Error // the latest refusal for the owner's sake
	wait       time.Duration // before the next round
	backingOff bool          // waiting, until notBefore
	notBefore  time.Time

	// What the retry budget has to know: how many batches of this round are to
	// be sent again, and whether a failure is the cause, not a change of owner.
	bounced int
	failure bool
	// limit is how many batches may be under way while the budget is used up;
	// 0 stands for no limit. Every acknowledgement raises it by one.
	limit int

	lastErr error // why the oldest batch is not in the log yet
}

// refusedLocked decides what becomes of a batch that the agent refused.
func (pt *partition) refusedLocked(b *recordBatch, err *reason.Error) {
	pt.mu.lastErr = err
	if err.Reason == reason.UnknownTopic {
		pt.topic.forget()
	}
	if pt.missesEarlierLocked(b, err) {
		pt.bounceLocked(b) // clearly not appended
		return
	}
	if err.Outcome() != reason.NotDone {
		b.doubtful = true
	}
	switch err.Recovery() {
	case reason.Retry, reason.Resend:
		// A gap before the oldest batch there is: the agent misses what it has
		// acknowledged. To send again can only help if the agent changes.
		pt.retryLocked(b, err)
	case reason.Resolve:
		pt.mu.moved = err
		pt.mu.wait = max(pt.mu.wait, err.RetryDelay)
		pt.bounceLocked(b)
	default: // Fail, Renew
		pt.giveUpLocked(b, err)
	}
}

// missesEarlierLocked tells whether err says no more than that b came before
// earlier batches of its id that are still to be sent, or were given up. An
// agent that knows nothing of a producer says UNKNOWN_PRODUCER where it would
// otherwise say SEQUENCE_GAP: so when a producer's first batch is refused
// while the ones behind it are in the air already.
func (pt *partition) missesEarlierLocked(b *recordBatch, err *reason.Error) bool {
	if err.Reason != reason.SequenceGap && err.Reason != reason.UnknownProducer {
		return false
	}
	if pt.mu.renew && b.id == pt.mu.holeID && b.seq > pt.mu.holeSeq {
		return true
	}
	first := pt.mu.sealed.At(0) // never resolved
	return first != b && first.id == b.id
}

// retryLocked sends b again after a while, if the policy still allows it.
func (pt *partition) retryLocked(b *recordBatch, err *reason.Error) {
	policy := &pt.p.cfg.retry
	if b.retries >= policy.MaxRetries {
		pt.giveUpLocked(b, exhausted(b.retries, err))
		return
	}
	pt.mu.wait = max(pt.mu.wait, policy.wait(b.retries, err))
	b.retries++
	pt.mu.failure = true
	pt.bounceLocked(b)
}

func (pt *partition) bounceLocked(b *recordBatch) {
	b.state = waiting
	pt.mu.recovering = true
	pt.mu.bounced++
}

// giveUpLocked fails a batch. If the agent may be waiting for its sequence,
// what comes later needs a fresh producer id.
func (pt *partition) giveUpLocked(b *recordBatch, err error) {
	b.err = &Error{Topic: pt.topic.name, Partition: int32(pt.index), Outcome: b.outcome(), Err: err}
	b.state = failed
	if b.id == 0 {
		return
	}
	if !pt.mu.renew || b.seq < pt.mu.holeSeq {
		pt.mu.holeID, pt.mu.holeSeq = b.id, b.seq
	}
	pt.mu.renew, pt.mu.recovering = true, true
}

// recoverLocked starts the next round of transmissions. Nothing is in the air.
func (pt *partition) recoverLocked() {
	pt.mu.recovering = false
	pt.mu.sent = 0 // what is acked already is passed over when its turn comes
	if pt.mu.renew {
		pt.renewLocked()
	}
	wait := pt.mu.wait
	if moved := pt.mu.moved; moved != nil {
		wait = max(wait, pt.moveLocked(moved))
	}
	if pt.mu.failure {
		wait = max(wait, pt.payLocked())
	}
	pt.mu.wait, pt.mu.moved, pt.mu.bounced, pt.mu.failure = 0, nil, 0, false
	if wait > 0 {
		pt.mu.backingOff, pt.mu.notBefore = true, time.Now().Add(wait)
		pt.armLocked(pt.mu.notBefore)
	}
}

// payLocked takes what this round sends again out of the retry budget. When that
// is used up, the round begins with a single batch, after the time that it
// returns: an agent that has room for a few is not sent the whole window each
// time, of which it refuses the rest.
func (pt *partition) payLocked() time.Duration {
	lack := pt.p.retries.spend(pt.mu.bounced)
	pt.mu.limit = 0
	if lack > 0 {
		pt.mu.limit = 1
	}
	return pt.p.cfg.retry.jittered(lack)
}

// grow lets more be under way after an acknowledgement.
func (r *recovery) grow(most int) {
	if r.limit == 0 {
		return
	}
	if r.limit++; r.limit > most {
		r.limit = 0
	}
}

// renewLocked ends the use of the producer id that has a hole. What was sent
// after the hole and could be in the log fails: a late copy under the old id
// could still be appended, and under the new id it would be doubled. What the
// agent has clearly not appended has no such copy and gets a new identity.
// What stands before the hole keeps its own.
func (pt *partition) renewLocked() {
	for i := range pt.mu.sealed.Len() {
		b := pt.mu.sealed.At(i)
		switch {
		case b.resolved() || b.id != pt.mu.holeID || b.seq < pt.mu.holeSeq:
		case b.doubtful:
			pt.giveUpLocked(b, fmt.Errorf("%w: %w", ErrGivenUp, pt.mu.lastErr))
		default:
			b.id, b.seq, b.data = 0, 0, nil
		}
	}
	if pt.mu.id == pt.mu.holeID {
		pt.mu.id = 0
	}
	pt.mu.renew, pt.mu.recovering = false, false
}

// moveLocked looks for the partition's owner after a refusal, and returns how
// long to wait before the next try: nothing the first time. The agent's hint is
// followed once; if it was wrong, the topic is described anew.
func (pt *partition) moveLocked(err *reason.Error) time.Duration {
	pt.mu.moves++
	if hint := err.Metadata[reason.MetaOwner]; pt.mu.moves == 1 && hint != "" {
		pt.turnLocked(pt.p.link(hint, pt.index))
		return 0
	}
	pt.mu.resolving = true
	pt.topic.refresh()
	if pt.mu.moves == 1 {
		return 0
	}
	return pt.p.cfg.retry.routing(pt.mu.moves - 2)
}

// refuseAll fails everything that is not in the air: no agent will take it.
func (pt *partition) refuseAll(err error) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.mu.lastErr, pt.mu.resolving = err, false
	for i := range pt.mu.sealed.Len() {
		if b := pt.mu.sealed.At(i); !b.resolved() && !b.pending {
			pt.giveUpLocked(b, err)
		}
	}
	pt.settleLocked()
}

// abandon fails everything, whatever its state, since the producer closes.
func (pt *partition) abandon(err error) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	for i := range pt.mu.sealed.Len() {
		if b := pt.mu.sealed.At(i); !b.resolved() {
			pt.giveUpLocked(b, err)
		}
	}
	pt.settleLocked()
}
