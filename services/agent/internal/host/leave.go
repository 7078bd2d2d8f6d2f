package host

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/streamhouse/streamhouse/services/agent/internal/assign"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Leave ends the session in good order: it hands every partition to its next
// owner, or gives it back where there is none, and seals its own journal. Run
// must still be running, and Leave is called once. Afterwards Owner still tells
// where the partitions went.
func (h *Host) Leave(ctx context.Context) error {
	close(h.leaving)
	h.Session.Withdraw()
	p := h.withoutSelf()
	if p == nil { // nobody to go to: producers shall wait
		if err := h.Pipeline.Drain(ctx, errDraining()); err != nil {
			return err
		}
	}
	if err := h.quiet(ctx); err != nil {
		return err
	}
	held := h.Pipeline.Tenures()
	var err error
	if p == nil {
		_, err = h.release(ctx, sorted(held), errDraining())
	} else {
		err = h.handOverAll(ctx, p, sorted(held))
	}
	if err != nil {
		return err
	}
	if err := h.Session.End(ctx, h.Pipeline.FirstSeq()); err != nil {
		return err
	}
	h.deps.Logger.Info("session ended", slog.String("session", h.Session.ID), slog.Int("released", len(held)))
	return nil
}

// quiet waits until nothing is being acquired or handed over any more.
func (h *Host) quiet(ctx context.Context) error {
	idle := make(chan struct{})
	go func() { // ends with the tasks, which end with Run
		<-h.kept
		h.tasks.wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for acquisitions: %w", context.Cause(ctx))
	}
}

func sorted(tenures []*flush.Tenure) []*flush.Tenure {
	slices.SortFunc(tenures, func(a, b *flush.Tenure) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return tenures
}

// withoutSelf plans for the time after this session, and without those that
// could not be reached. It returns nil when there would be nobody; otherwise it
// is what Owner tells from now on.
func (h *Host) withoutSelf(unreachable ...string) *plan {
	last := h.planned()
	if last == nil {
		return nil
	}
	p := &plan{view: last.view, live: last.live, topics: last.topics}
	for _, m := range last.members {
		if m.ID != h.Session.ID && !slices.Contains(unreachable, m.ID) {
			p.members = append(p.members, m)
		}
	}
	if len(p.members) == 0 {
		return nil
	}
	p.owners = assign.Owners(p.members, p.topics)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plan, h.found = p, nil
	return p
}

// atOnce is how many partitions are handed to one agent at a time: none of them
// waits for more than these.
const atOnce = 64

// handOverAll gives everything to its next owner. An agent that cannot be told,
// or that cannot acquire, is left out, and others are told.
func (h *Host) handOverAll(ctx context.Context, p *plan, tenures []*flush.Tenure) error {
	byOwner := map[string][]*flush.Tenure{}
	for _, t := range tenures {
		to := p.owners[t.ID]
		byOwner[to] = append(byOwner[to], t)
	}
	var mu sync.Mutex
	var errs []error
	var left []flush.ID // free, and nobody was told
	var unreachable []string
	var group sync.WaitGroup
	for to, tenures := range byOwner {
		group.Go(func() {
			for part := range slices.Chunk(tenures, atOnce) {
				ids, err := h.release(ctx, part, errMoved())
				told := err == nil && (len(ids) == 0 || p.live[to] != nil && h.tell(ctx, p.live[to], ids))
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				} else if !told {
					left = append(left, ids...)
					unreachable = append(unreachable, to)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	h.tellOthers(ctx, left, unreachable)
	if len(errs) > 0 {
		return errs[0]
	}
	return nil
}

// tellOthers finds somebody for what is free. Without success the agents that
// are left find it by themselves, and so they do with what is newer than the plan.
func (h *Host) tellOthers(ctx context.Context, ids []flush.ID, unreachable []string) {
	for len(ids) > 0 && ctx.Err() == nil {
		p := h.withoutSelf(unreachable...)
		if p == nil {
			return
		}
		byOwner := map[string][]flush.ID{}
		for _, id := range ids {
			if to := p.owners[id]; to != "" {
				byOwner[to] = append(byOwner[to], id)
			}
		}
		ids = nil
		for to, some := range byOwner {
			if to := p.live[to]; to == nil || !h.tell(ctx, to, some) {
				ids = append(ids, some...)
			}
			if len(ids) > 0 {
				unreachable = append(unreachable, to)
			}
		}
	}
}

// next is the session that a plan gives a partition to.
func (p *plan) next(id flush.ID) *meta.Session { return p.live[p.owners[id]] }
