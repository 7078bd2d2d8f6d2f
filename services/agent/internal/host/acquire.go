package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/recovery"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
)

// parallelSwaps is how many rows are written at a time: embedded stores make
// many durable with one sync.
const parallelSwaps = 64

// reconcile drops the partitions of deleted topics and acquires what is free
// or belongs to the dead.
func (h *Host) reconcile(ctx context.Context) error {
	list, err := h.deps.Catalog.Refresh(ctx)
	if err != nil {
		return err
	}
	h.dropDeleted(list)
	missing := h.missing(list)
	if len(missing) == 0 {
		return nil
	}
	rows, err := h.read(ctx, missing)
	if err != nil {
		return err
	}
	sealed, err := h.sealDead(ctx, rows)
	if err != nil {
		return err
	}
	if len(sealed) > 0 { // what was read before the seal does not count (R4)
		if rows, err = h.read(ctx, missing); err != nil {
			return err
		}
	}
	return h.acquireAll(ctx, h.takeable(rows, sealed))
}

// dropDeleted ends the tenures of topics that are gone.
func (h *Host) dropDeleted(list []*meta.Topic) {
	alive := map[uint32]bool{}
	for _, t := range list {
		alive[t.ID] = true
	}
	for _, t := range h.Pipeline.Tenures() {
		if !alive[t.Topic] {
			h.Drop(t)
		}
	}
}

// Drop ends a tenure whose topic is gone.
func (h *Host) Drop(t *flush.Tenure) {
	err := reason.New(reason.UnknownTopic, "the topic was deleted")
	h.Pipeline.Disown(t, err)
	t.Index.Close(err)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.rows, t.ID)
}

func (h *Host) missing(list []*meta.Topic) map[flush.ID]bool {
	missing := map[flush.ID]bool{}
	for _, t := range list {
		for p := range t.Partitions {
			id := flush.ID{Topic: t.ID, Partition: p}
			if h.Pipeline.Tenure(id) == nil {
				missing[id] = true
			}
		}
	}
	return missing
}

// read reads the rows of partitions. One that was never owned has none yet; it
// gets an empty one, which is created when it is acquired.
func (h *Host) read(ctx context.Context, wanted map[flush.ID]bool) ([]*meta.Partition, error) {
	byID := map[flush.ID]*meta.Partition{}
	ids := map[uint32]bool{}
	for id := range wanted {
		byID[id] = &meta.Partition{Topic: id.Topic, Partition: id.Partition}
		ids[id.Topic] = true
	}
	for topic := range ids {
		for row, err := range meta.Query[*meta.Partition](ctx, h.deps.Rows, meta.TopicHash(topic), 0) {
			if err != nil {
				return nil, fmt.Errorf("read partitions: %w", err)
			}
			if id := (flush.ID{Topic: row.Topic, Partition: row.Partition}); wanted[id] {
				byID[id] = row
			}
		}
	}
	return slices.Collect(maps.Values(byID)), nil
}

// sealDead seals the sessions that own rows and are dead, and returns their ids.
func (h *Host) sealDead(ctx context.Context, rows []*meta.Partition) (sealed map[string]bool, err error) {
	sealed = map[string]bool{}
	for _, row := range rows {
		if row.Owner == "" || row.Owner == h.Session.ID || sealed[row.Owner] || !h.deps.Dead(row.Owner) {
			continue
		}
		if err := session.Seal(ctx, h.deps.Rows, row.Owner, h.Session.ID, 0); err != nil {
			return nil, err
		}
		h.deps.Logger.Info("took over a session", slog.String("sealed", row.Owner))
		sealed[row.Owner] = true
	}
	return sealed, nil
}

// takeable keeps what nobody owns, what a session owns that this round sealed,
// and what an earlier try of ours won without hearing of it. An owner that came
// between the seal and the second reading may be as dead as the one before it,
// but its journal is open: its turn is the next round.
func (h *Host) takeable(rows []*meta.Partition, sealed map[string]bool) []*meta.Partition {
	return slices.DeleteFunc(rows, func(row *meta.Partition) bool {
		return row.Owner != "" && row.Owner != h.Session.ID && !sealed[row.Owner]
	})
}

func (h *Host) acquireAll(ctx context.Context, rows []*meta.Partition) error {
	found, err := recovery.Run(ctx, h.deps.Rows, h.deps.Objects, rows)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(parallelSwaps)
	for _, p := range found {
		group.Go(func() error { return h.acquire(ctx, p) })
	}
	return group.Wait()
}

// acquire makes a partition ours under the next epoch, and begins the tenure.
func (h *Host) acquire(ctx context.Context, p *recovery.Partition) error {
	row := *p.Row
	if row.Owner != h.Session.ID {
		if row.Owner != "" && p.End > row.Start {
			row.Tenures = append(slices.Clone(row.Tenures), meta.Tenure{
				Session: row.Owner, Epoch: row.Epoch, Start: row.Start, End: p.End,
				FirstSeq: row.FirstSeq, EndSeq: p.EndSeq,
			})
		}
		row.Owner, row.Start, row.FirstSeq = h.Session.ID, p.End, h.Pipeline.FirstSeq()
		row.Epoch++
		if err := h.write(ctx, &row); err != nil {
			return fmt.Errorf("acquire partition %d of topic %d: %w", row.Partition, row.Topic, err)
		}
	}
	id := flush.ID{Topic: row.Topic, Partition: row.Partition}
	log := index.New(row.LogStart, p.End, p.Ranges)
	h.mu.Lock()
	h.rows[id] = &row
	h.mu.Unlock()
	return h.Pipeline.Own(flush.NewTenure(id, row.Epoch, p.End, row.FirstSeq, log, p.State))
}

// write creates or swaps a row. When it fails, the next round reads what came
// of it.
func (h *Host) write(ctx context.Context, row *meta.Partition) error {
	if row.Version > 0 {
		return h.deps.Rows.Swap(ctx, row)
	}
	return h.deps.Rows.Create(ctx, row)
}

// lost says that a row was changed by somebody else.
func lost(err error) bool {
	return errors.Is(err, meta.ErrConflict) || errors.Is(err, meta.ErrNotFound)
}
