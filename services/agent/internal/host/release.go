package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// retryPause is how long to wait before something is tried again that the store
// did not do.
const retryPause = 50 * time.Millisecond

// release ends tenures in good order (R6): it refuses new batches with refusal,
// makes durable what was taken, answers for it, and only then gives the rows
// back. It returns the partitions that nobody owns now.
func (h *Host) release(ctx context.Context, tenures []*flush.Tenure, refusal error) ([]flush.ID, error) {
	released, err := h.releaseFromPipeline(ctx, tenures, refusal)
	if err != nil || len(released) == 0 {
		return nil, err
	}
	if err := h.releaseRows(ctx, released); err != nil {
		return nil, err
	}
	h.deps.Counters.LeasesReleased(len(released))
	ids := make([]flush.ID, len(released))
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, r := range released {
		ids[i] = r.ID
		delete(h.rows, r.ID)
	}
	return ids, nil
}

// releaseFromPipeline takes partitions away from the pipeline: from here on
// nothing can be committed under these epochs, whatever becomes of the rows.
func (h *Host) releaseFromPipeline(ctx context.Context, tenures []*flush.Tenure, refusal error) ([]flush.Released, error) {
	for _, t := range tenures {
		h.Pipeline.Stop(t, refusal)
	}
	released := make([]flush.Released, 0, len(tenures))
	for _, t := range tenures {
		r, err := h.Pipeline.Release(ctx, t, refusal)
		if errors.Is(err, flush.ErrDisowned) {
			continue // its topic was deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("release partition %d of topic %d: %w", t.Partition, t.Topic, err)
		}
		if !mutation.Off(mutation.R6Resume) {
			t.Index.Close(refusal)
		}
		released = append(released, r)
	}
	return released, nil
}

func (h *Host) releaseRows(ctx context.Context, released []flush.Released) error {
	sections := make([]segment.Section, len(released))
	for i, r := range released {
		sections[i] = segment.Section{Topic: r.Topic, Partition: r.Partition, State: r.State}
	}
	state, forget, err := h.putStates(ctx, sections)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(parallelSwaps)
	for i := range released {
		group.Go(func() error { return h.releaseRow(ctx, &released[i], state) })
	}
	if err := group.Wait(); err != nil {
		return err // a release may stand yet, and name the state
	}
	forget()
	return nil
}

// putStates writes producers' states of partitions as one object: a segment
// without batches. Nobody removes it until forget is called.
func (h *Host) putStates(ctx context.Context, sections []segment.Section) (key string, forget func(), err error) {
	version := h.deps.Format.Version()
	object, err := segment.AppendHeader(nil, segment.Header{Session: h.Session.ID, Version: version})
	if err != nil {
		return "", nil, fmt.Errorf("write producer states: %w", err)
	}
	foot := &segment.Footer{Number: h.Pipeline.TakeNumber(), Version: version, Sections: sections}
	object = segment.AppendFooter(object, foot)
	body := objstore.Body{Parts: [][]byte{object}, Size: int64(len(object)), CRC32C: segment.Update(0, object)}
	for {
		key := flush.Key(h.Session.ID, foot.Number)
		h.protect(key, true)
		err := h.deps.Objects.Put(ctx, key, body)
		if err == nil {
			return key, func() { h.protect(key, false) }, nil
		}
		h.protect(key, false)
		if pause(ctx) != nil {
			return "", nil, fmt.Errorf("write producer states: %w", err)
		}
	}
}

// protect notes whether an object of producers' states may be about to be named.
func (h *Host) protect(key string, on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if on {
		h.states[key] = true
	} else {
		delete(h.states, key)
	}
}

// releaseRow sends the release until it stands, or the row is no longer ours.
func (h *Host) releaseRow(ctx context.Context, r *flush.Released, state string) error {
	h.mu.Lock()
	stored := h.rows[r.ID]
	h.mu.Unlock()
	if stored == nil {
		return nil // its topic was deleted meanwhile
	}
	row := *stored
	for {
		err := h.deps.Rows.Swap(ctx, h.released(row, r, state))
		if err == nil {
			return nil
		}
		if mutation.Off(mutation.R6Resume) {
			return h.resume(r, err)
		}
		if pause(ctx) != nil {
			return fmt.Errorf("release partition %d of topic %d: %w", r.Partition, r.Topic, err)
		}
		now := &meta.Partition{Topic: r.Topic, Partition: r.Partition}
		if err := h.deps.Rows.Get(ctx, now); lost(err) {
			return nil
		} else if err != nil {
			continue
		}
		if now.Owner != h.Session.ID || now.Epoch != r.Epoch {
			return nil // it stands, or somebody took over
		}
		row = *now
	}
}

// resume is what R6 forbids: a tenure goes on whose release may still land.
func (h *Host) resume(r *flush.Released, err error) error {
	state, _, parseErr := producers.Parse[flush.Flight](r.State, time.Now())
	if parseErr != nil {
		return parseErr
	}
	return errors.Join(err, h.Pipeline.Own(flush.NewTenure(r.ID, r.Epoch, r.End, r.FirstSeq, r.Index, state)))
}

// released is a row after its release.
func (h *Host) released(row meta.Partition, r *flush.Released, state string) *meta.Partition {
	if r.End > max(row.Start, row.Checkpoint.End) {
		row.Tenures = append(slices.Clone(row.Tenures), meta.Tenure{
			Session: h.Session.ID, Epoch: r.Epoch, Start: row.Start, End: r.End,
			FirstSeq: row.FirstSeq, EndSeq: h.Pipeline.FirstSeq(),
		})
	}
	row.Owner, row.Start, row.FirstSeq = "", r.End, 0
	row.State, row.StateEnd = state, r.End
	return &row
}

func pause(ctx context.Context) error {
	t := time.NewTimer(retryPause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
