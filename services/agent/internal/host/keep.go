package host

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
)

// expireEvery is how often producers that fell silent are forgotten.
const expireEvery = 10 * time.Minute

// keep reconciles what is owned with what should be, until ctx ends. After
// Leave it does nothing: a round would find the partitions that were just given
// back without an owner, and take them again.
func (h *Host) keep(ctx context.Context) error {
	err := h.reconcileUntilLeave(ctx)
	close(h.kept)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// tick is the interval of rounds. On a shared store it is short, so that a
// heartbeat is seen soon after it moved: a lease counts from there.
func (h *Host) tick() time.Duration {
	if h.deps.Exclusive {
		return h.opts.Session.Heartbeat
	}
	return h.opts.Session.Heartbeat / 2
}

// reconcileUntilLeave reconciles at every tick, whenever it is kicked, and when
// a lease ends. A step that failed is tried again at the next.
func (h *Host) reconcileUntilLeave(ctx context.Context) error {
	ctx, stop := h.untilLeave(ctx)
	defer stop()
	expired := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, err := h.reconcile(ctx)
		switch {
		case errors.Is(err, meta.ErrTooNew), errors.Is(err, segment.ErrTooNew), errors.Is(err, session.ErrSealed), errors.Is(err, errAstray):
			return err // no later try can mend that
		case err != nil && ctx.Err() == nil:
			h.deps.Logger.Warn("partitions not acquired, trying again", slog.Any("error", err))
		}
		h.endRound()
		if now := time.Now(); now.Sub(expired) > expireEvery {
			h.Pipeline.ExpireProducers(now)
			expired = now
		}
		timer.Reset(h.untilNext(next))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-h.kick:
		}
	}
}

// untilLeave ends rounds when the host leaves: what they have not acquired is
// not wanted any more.
func (h *Host) untilLeave(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	h.tasks.start(func(context.Context) {
		select {
		case <-h.leaving:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, cancel
}

// untilNext is how long to wait for the next round, when something is due at a
// time; never long enough to storm.
func (h *Host) untilNext(due time.Time) time.Duration {
	if due.IsZero() {
		return h.tick()
	}
	return min(h.tick(), max(time.Until(due), h.tick()/50))
}

// Settled is closed once the host acquired what it found in the store.
func (h *Host) Settled() <-chan struct{} { return h.settled }

func (h *Host) settle() {
	if !h.isSettled() {
		close(h.settled)
	}
}

func (h *Host) isSettled() bool {
	select {
	case <-h.settled:
		return true
	default:
		return false
	}
}

// Kick makes the host look for partitions to acquire, or to drop, now.
func (h *Host) Kick() {
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

func (h *Host) endRound() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.rounds)
	h.rounds = make(chan struct{})
}

func (h *Host) round() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rounds
}

// Await waits until all partitions of a topic have an owner, or ctx ends. The
// first round may have begun too early to know of the topic; if the second has
// not helped either, others are at it, or something is wrong with the store,
// and the next ones come after a pause.
func (h *Host) Await(ctx context.Context, t *meta.Topic) error {
	if !h.ownsAll(t) {
		h.wakeOthers()
	}
	for try := 0; ; try++ {
		round := h.round()
		if h.served(ctx, t) {
			return nil
		}
		if try > 1 && pause(ctx) != nil {
			return context.Cause(ctx)
		}
		h.Kick()
		select {
		case <-round:
		case <-h.leaving:
			return errDraining()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (h *Host) ownsAll(t *meta.Topic) bool {
	for p := range t.Partitions {
		if h.Pipeline.Tenure(flush.ID{Topic: t.ID, Partition: p}) == nil {
			return false
		}
	}
	return true
}

// served says whether every partition of a topic belongs to this session or to
// another one that works.
func (h *Host) served(ctx context.Context, t *meta.Topic) bool {
	if h.ownsAll(t) {
		return true
	}
	p := h.planned()
	if h.deps.Exclusive || p == nil {
		return false
	}
	owned := uint32(0)
	for row, err := range meta.Query[*meta.Partition](ctx, h.deps.Rows, meta.TopicHash(t.ID), 0) {
		if err != nil {
			return false
		}
		here := h.Pipeline.Tenure(flush.ID{Topic: t.ID, Partition: row.Partition}) != nil
		if here || row.Owner != h.Session.ID && p.live[row.Owner] != nil {
			owned++
		}
	}
	return owned == t.Partitions
}
