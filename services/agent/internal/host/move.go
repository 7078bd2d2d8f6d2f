package host

import (
	"context"
	"log/slog"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Moves under way at a time: this many, or a part of what is held where that is
// more. An agent that joins must not stop the world.
const (
	minMoves  = 4
	movesPart = 16
)

// handOverExtra begins to hand over what should be elsewhere, to agents that
// agree to take it.
func (h *Host) handOverExtra(p *plan) {
	if h.deps.Exclusive || h.deps.Peers == nil || h.Session.Valid(time.Now()) != nil {
		return
	}
	held := sorted(h.Pipeline.Tenures())
	moves := max(minMoves, len(held)/movesPart) - h.moving(held)
	byOwner := map[*meta.Session][]*flush.Tenure{}
	for _, t := range held {
		to := p.next(t.ID)
		if to == nil || to.ID == h.Session.ID || moves <= 0 || len(h.claim([]flush.ID{t.ID})) == 0 {
			continue
		}
		byOwner[to] = append(byOwner[to], t)
		moves--
	}
	for to, tenures := range byOwner {
		started := h.tasks.start(func(ctx context.Context) {
			moved := h.handOver(ctx, to, tenures)
			h.free(idsOf(tenures))
			if moved {
				h.Kick() // there may be more
			}
		})
		if !started {
			h.free(idsOf(tenures))
		}
	}
}

// moving counts what is being handed over.
func (h *Host) moving(held []*flush.Tenure) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range held {
		if h.busy[t.ID] {
			n++
		}
	}
	return n
}

// handOver gives claimed partitions to a session, as far as it agrees, and
// returns whether it has them now.
func (h *Host) handOver(ctx context.Context, to *meta.Session, tenures []*flush.Tenure) bool {
	agreed := h.offer(ctx, to, tenures)
	if len(agreed) == 0 {
		return false
	}
	ids, err := h.release(ctx, agreed, errMoved())
	if err != nil || !h.tell(ctx, to, ids) {
		return false // the session is over, or the other one finds them by itself
	}
	h.deps.Logger.Info("partitions handed over", slog.String("to", to.ID), slog.Int("partitions", len(ids)))
	return true
}

// offer asks which partitions a session would take.
func (h *Host) offer(ctx context.Context, to *meta.Session, tenures []*flush.Tenure) (agreed []*flush.Tenure) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	taken, err := h.deps.Peers.Offer(ctx, to, idsOf(tenures))
	if err != nil {
		h.deps.Logger.Debug("offer not answered", slog.String("to", to.ID), slog.Any("error", err))
		return nil
	}
	takes := map[flush.ID]bool{}
	for _, id := range taken {
		takes[id] = true
	}
	for _, t := range tenures {
		if takes[t.ID] {
			agreed = append(agreed, t)
		}
	}
	return agreed
}

func idsOf(tenures []*flush.Tenure) []flush.ID {
	ids := make([]flush.ID, len(tenures))
	for i, t := range tenures {
		ids[i] = t.ID
	}
	return ids
}
