package host

import (
	"context"
	"log/slog"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Peers reaches the agents of other sessions. Each call ends in a host of the
// session that it names, or fails. A failure costs time and nothing else: what
// an agent is not told, it reads in the store.
type Peers interface {
	// Offer asks for which of the partitions the session would take.
	Offer(ctx context.Context, to *meta.Session, ids []flush.ID) ([]flush.ID, error)
	// HandOver tells that partitions are free, and returns once the session
	// owns all of them.
	HandOver(ctx context.Context, to *meta.Session, ids []flush.ID) error
	// Wake tells that something in the store is worth a look.
	Wake(ctx context.Context, to *meta.Session) error
}

const (
	// callTimeout bounds an Offer or a Wake.
	callTimeout = time.Second
	// acquireTimeout bounds a HandOver, in which the other one acquires.
	acquireTimeout = 5 * time.Second
)

// errMoved is what producers and readers are told whose partition is given to
// another agent.
func errMoved() error {
	return reason.New(reason.NotOwner, "the partition moves to another agent")
}

// Offered answers an Offer: this session takes what it should own itself.
func (h *Host) Offered(ids []flush.ID) (taken []flush.ID) {
	p := h.planned()
	if p == nil || h.left() || h.Session.Valid(time.Now()) != nil {
		return nil
	}
	for _, id := range ids {
		if h.mine(p, id) {
			taken = append(taken, id)
		}
	}
	if len(taken) < len(ids) {
		h.Kick() // the other one may know more than this one
	}
	return taken
}

// HandedOver acquires partitions that another session gave up for this one.
func (h *Host) HandedOver(ctx context.Context, ids []flush.ID) error {
	done := make(chan error, 1)
	started := !h.left() && h.tasks.start(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, h.opts.Session.Lease)
		defer cancel()
		done <- h.acquireFree(ctx, ids)
	})
	if !started {
		return errDraining()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// acquireFree acquires what nobody owns. What is claimed already is being
// acquired.
func (h *Host) acquireFree(ctx context.Context, ids []flush.ID) error {
	var missing []flush.ID
	for _, id := range ids {
		if h.Pipeline.Tenure(id) == nil {
			missing = append(missing, id)
		}
	}
	missing = h.claim(missing)
	defer h.free(missing)
	rows, err := h.read(ctx, missing)
	if err != nil {
		return err
	}
	free := rows[:0]
	for _, row := range rows {
		if h.takeable(row, nil) {
			free = append(free, row)
		}
	}
	if err := h.acquireAll(ctx, free); err != nil {
		return err
	}
	for _, id := range missing {
		if h.Pipeline.Tenure(id) == nil {
			return reason.New(reason.NotOwner, "partition %d of topic %d is not free", id.Partition, id.Topic)
		}
	}
	return nil
}

// left says whether Leave was called.
func (h *Host) left() bool {
	select {
	case <-h.leaving:
		return true
	default:
		return false
	}
}

// tell hands free partitions to a session, and returns whether it has them now.
func (h *Host) tell(ctx context.Context, to *meta.Session, ids []flush.ID) bool {
	if h.deps.Peers == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	err := h.deps.Peers.HandOver(ctx, to, ids)
	if err != nil {
		h.deps.Logger.Warn("partitions released, and their next owner not reached",
			slog.String("to", to.ID), slog.Int("partitions", len(ids)), slog.Any("error", err))
	}
	return err == nil
}

// wakeOthers lets all others look into the store now.
func (h *Host) wakeOthers() {
	p := h.planned()
	if p == nil || h.deps.Peers == nil {
		return
	}
	for _, m := range p.members {
		to := p.live[m.ID]
		if m.ID == h.Session.ID {
			continue
		}
		h.tasks.start(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			if err := h.deps.Peers.Wake(ctx, to); err != nil {
				h.deps.Logger.Debug("agent not reached", slog.String("session", to.ID), slog.Any("error", err))
			}
		})
	}
}
