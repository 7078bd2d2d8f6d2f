package host

import (
	"context"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
)

// Strays are partitions that should be owned elsewhere and are owned by nobody.
const (
	// strayEvery is how many ticks pass until all rows are read for strays,
	// while none is known.
	strayEvery = 10
	// strayTicks is for how many ticks a stray must have been seen before
	// anyone may acquire it.
	strayTicks = 2
)

// strays is what a host knows of partitions that nobody cares for.
type strays struct {
	looked time.Time
	since  map[flush.ID]time.Time
}

// findStrays returns the partitions that nobody cared for in some ticks. Their
// rows are read seldom: who should own one reads it in every round.
func (h *Host) findStrays(ctx context.Context, p *plan, sealed map[string]bool) ([]flush.ID, error) {
	now := time.Now()
	if h.deps.Exclusive || len(h.strays.since) == 0 && now.Sub(h.strays.looked) < strayEvery*h.tick() {
		return nil, nil
	}
	rows, err := h.read(ctx, h.foreign(p))
	if err != nil {
		return nil, err
	}
	if err := h.addForgotten(ctx, rows, sealed); err != nil {
		return nil, err
	}
	since := map[flush.ID]time.Time{}
	var ids []flush.ID
	for _, row := range rows {
		id := flush.ID{Topic: row.Topic, Partition: row.Partition}
		if row.Owner != "" && !sealed[row.Owner] {
			continue
		}
		since[id] = now
		if first, known := h.strays.since[id]; known {
			since[id] = first
		}
		if now.Sub(since[id]) >= strayTicks*h.tick() {
			ids = append(ids, id)
		}
	}
	h.strays.looked, h.strays.since = now, since
	return ids, nil
}

// foreign lists what is not owned here and should not be.
func (h *Host) foreign(p *plan) (ids []flush.ID) {
	for _, t := range p.topics {
		for n := range t.Partitions {
			if id := (flush.ID{Topic: t.ID, Partition: n}); !h.mine(p, id) && h.Pipeline.Tenure(id) == nil {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// countUnowned notes how many partitions nobody owned when they were read last.
func (h *Host) countUnowned(p *plan) {
	n := 0
	for id := range h.strays.since {
		if h.Pipeline.Tenure(id) == nil {
			n++
		}
	}
	h.mu.Lock()
	found := h.found
	h.mu.Unlock()
	for _, t := range p.topics {
		for k := range t.Partitions {
			if id := (flush.ID{Topic: t.ID, Partition: k}); h.mine(p, id) && h.Pipeline.Tenure(id) == nil && found[id] == "" {
				n++
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unowned = n
}

// Unowned is how many partitions nobody owned, as far as this session looked:
// those that it should own in every round, the others now and then.
func (h *Host) Unowned() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unowned
}
