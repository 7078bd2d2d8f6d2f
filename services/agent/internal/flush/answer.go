package flush

import (
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// answers are collected under the lock and sent outside of it.
type answers struct{ list []answer }

type answer struct {
	waiter
	base uint64
	err  error
}

// take moves everybody who waits for an entry into the list.
func (a *answers) take(e *entry, base uint64, err error) {
	if e.to != nil {
		a.list = append(a.list, answer{waiter: e.waiter, base: base, err: err})
		e.waiter = waiter{}
	}
	for _, w := range e.again {
		a.list = append(a.list, answer{waiter: w, base: base, err: err})
	}
	e.again = nil
}

// takeWaiting moves everybody who waits for any batch of a buffer.
func (a *answers) takeWaiting(b *buffer, err error) {
	for i := range b.entries {
		a.take(&b.entries[i], 0, err)
	}
}

func (a *answers) send() {
	for _, w := range a.list {
		w.to.Answer(w.request, w.base, w.err)
	}
}

// untilLateLocked is how long until somebody waited for AckTimeout.
func (p *Pipeline) untilLateLocked(now time.Time) time.Duration {
	wait := idleTrim
	for _, b := range p.unresolvedLocked() {
		if !b.answerBy.IsZero() {
			wait = min(wait, max(0, b.answerBy.Sub(now)))
		}
	}
	return wait
}

// unresolvedLocked lists all buffers, oldest first. They are few: each is
// Options.Bytes, all together Options.BufferBytes.
func (p *Pipeline) unresolvedLocked() []*buffer {
	all := make([]*buffer, 0, len(p.flying)+len(p.sealed)+1)
	all = append(append(all, p.flying...), p.sealed...)
	if p.open != nil {
		all = append(all, p.open)
	}
	return all
}

// answerLate tells those who waited too long that the outcome is unknown. The
// flush goes on: a retry waits for it, or finds it done.
func (p *Pipeline) answerLate(now time.Time) {
	answers := answers{}
	late := reason.New(reason.StorageFailed,
		"the batch is not durable after %s, for the store does not answer: send it again with the same sequence", p.opts.AckTimeout)
	p.mu.Lock()
	for _, b := range p.unresolvedLocked() {
		if !b.answerBy.IsZero() && !b.answerBy.After(now) {
			answers.takeWaiting(b, late)
			b.answerBy = time.Time{}
		}
	}
	p.mu.Unlock()
	answers.send()
}
