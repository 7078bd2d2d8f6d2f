package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// owner is what compaction knows of a host.
type owner struct{ *Host }

// compact merges what is owned until ctx ends or the host leaves.
func (h *Host) compact(ctx context.Context) {
	if h.opts.Compaction.Age <= 0 {
		return
	}
	ctx, stop := h.untilLeave(ctx)
	defer stop()
	compaction.New(h.opts.Compaction, compaction.Deps{
		Session: h.Session.ID, Rows: h.deps.Rows, Objects: h.deps.Objects, Format: h.deps.Format,
		Owner: owner{h}, Topics: h.deps.Catalog, Counters: h.deps.Compaction, Logger: h.deps.Logger,
	}).Run(ctx)
}

// Tenures implements compaction.Owner.
func (o owner) Tenures() []*flush.Tenure { return o.Pipeline.Tenures() }

// PutStates implements compaction.Owner.
func (o owner) PutStates(ctx context.Context, tenures []*flush.Tenure) (*compaction.States, error) {
	states := &compaction.States{Ends: map[flush.ID]uint64{}}
	var sections []segment.Section
	for _, t := range tenures {
		if state, end, ok := o.Pipeline.Snapshot(t); ok {
			sections = append(sections, segment.Section{Topic: t.Topic, Partition: t.Partition, State: state})
			states.Ends[t.ID] = end
		}
	}
	var err error
	states.Key, states.Forget, err = o.putStates(ctx, sections)
	return states, err
}

// Change implements compaction.Owner. A try whose outcome is unknown is over only
// when the row was read: one that stands has raised its version, and one that is
// late cannot succeed any more once the version has moved on (R11).
func (o owner) Change(ctx context.Context, t *flush.Tenure, change func(*meta.Partition) (bool, error)) error {
	for {
		row := o.row(t)
		if row == nil {
			return compaction.ErrNotOwned
		}
		changed, err := change(row)
		if err != nil || !changed {
			return err
		}
		before := row.Version
		if err = o.deps.Rows.Swap(ctx, row); err == nil {
			o.keepRow(t, row)
			return nil
		}
		now, readErr := o.reread(ctx, t)
		if readErr != nil {
			return errors.Join(err, readErr)
		}
		if now.Owner != o.Session.ID || now.Epoch != t.Epoch {
			return compaction.ErrNotOwned
		}
		o.keepRow(t, now)
		if now.Version == before && pause(ctx) != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// row returns a copy of the row of a tenure that is not over, to work on; its
// slices are shared.
func (h *Host) row(t *flush.Tenure) *meta.Partition {
	h.mu.Lock()
	defer h.mu.Unlock()
	stored := h.rows[t.ID]
	if stored == nil || stored.Epoch != t.Epoch {
		return nil
	}
	row := *stored
	return &row
}

// keepRow notes a row as it stands, unless the tenure is over.
func (h *Host) keepRow(t *flush.Tenure, row *meta.Partition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if stored := h.rows[t.ID]; stored != nil && stored.Epoch == row.Epoch && stored.Version < row.Version {
		h.rows[t.ID] = row
	}
}

// reread reads a tenure's row until that succeeds or ctx ends.
func (h *Host) reread(ctx context.Context, t *flush.Tenure) (*meta.Partition, error) {
	for {
		row := &meta.Partition{Topic: t.Topic, Partition: t.Partition}
		err := h.deps.Rows.Get(ctx, row)
		if err == nil {
			return row, nil
		}
		if errors.Is(err, meta.ErrNotFound) {
			return nil, compaction.ErrNotOwned
		}
		if pause(ctx) != nil {
			return nil, fmt.Errorf("read partition %d of topic %d: %w", t.Partition, t.Topic, err)
		}
	}
}

// Owns says whether a tenure's partition still belongs to it, by its row.
func (h *Host) Owns(ctx context.Context, t *flush.Tenure) (bool, error) {
	row := &meta.Partition{Topic: t.Topic, Partition: t.Partition}
	err := h.deps.Rows.Get(ctx, row)
	if errors.Is(err, meta.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read partition %d of topic %d: %w", t.Partition, t.Topic, err)
	}
	return row.Owner == h.Session.ID && row.Epoch == t.Epoch, nil
}
