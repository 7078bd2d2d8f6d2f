package host

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/assign"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/members"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
)

// challenge seals the dead whose turn it is, and returns all sessions that are
// sealed now: what partition rows are read after this say of them counts (R4).
// Next is when the turn comes at another.
func (h *Host) challenge(ctx context.Context, p *plan, missing bool) (sealed map[string]bool, next time.Time, err error) {
	var dead []members.Dead
	if h.deps.Exclusive {
		if !missing && h.isSettled() {
			return map[string]bool{}, time.Time{}, nil
		}
		if sealed, dead, err = h.allOthers(ctx); err != nil {
			return nil, time.Time{}, err
		}
	} else {
		sealed = maps.Clone(p.view.Sealed)
		dead, next = h.myTurn(p)
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	var errs []error
	for _, d := range dead {
		group.Go(func() {
			err := h.seal(ctx, d)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			sealed[d.ID] = true
		})
	}
	group.Wait()
	if len(dead) > len(errs) {
		h.wakeOthers()
	}
	return sealed, next, errors.Join(errs...)
}

// seal ends a dead session. One that lives after all can keep it from doing so
// for longer than a moment; then it is not dead, and is watched again.
func (h *Host) seal(ctx context.Context, d members.Dead) error {
	ctx, cancel := context.WithTimeout(ctx, h.opts.Session.Lease/2)
	defer cancel()
	tail := d.Tail
	if tail == 0 { // it was not watched, and its journal may be long
		tail, _ = journal.Tail(ctx, h.deps.Rows, d.ID, 0) // without, its beginning does
	}
	if mutation.Off(mutation.R4) {
		h.tasks.start(func(ctx context.Context) { _ = session.Seal(ctx, h.deps.Rows, d.ID, h.Session.ID, tail) })
		return nil
	}
	if err := session.Seal(ctx, h.deps.Rows, d.ID, h.Session.ID, tail); err != nil {
		return err
	}
	h.deps.Logger.Info("took over a session", slog.String("sealed", d.ID), slog.String("agent", d.Agent))
	return nil
}

// myTurn picks those of the dead that this session challenges now. All agents
// agree on an order of challengers, so that not all storm the store; each waits
// a tick longer than the one before it, and sees that it is done. Whoever has
// missed heartbeats of its own since it judged, or stood still, looks again first.
func (h *Host) myTurn(p *plan) (dead []members.Dead, next time.Time) {
	next = p.view.Next
	now := time.Now()
	if _, steady := h.Session.Steady(now); !steady && !mutation.Off(mutation.R8) {
		return nil, next
	}
	for _, d := range p.view.Dead {
		order := assign.Order(d.ID, p.members)
		place := max(0, slices.Index(order, h.Session.ID))
		at := d.Since.Add(time.Duration(place) * h.tick())
		if !at.After(now) {
			dead = append(dead, d)
		} else if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return dead, next
}

// allOthers are the sessions of an exclusive store, where all others are dead.
func (h *Host) allOthers(ctx context.Context) (sealed map[string]bool, dead []members.Dead, err error) {
	view, err := h.watcher.Look(ctx)
	if err != nil {
		return nil, nil, err
	}
	dead = view.Dead
	for _, s := range view.Live {
		if s.ID != h.Session.ID {
			dead = append(dead, members.Dead{Session: s})
		}
	}
	return view.Sealed, dead, nil
}
