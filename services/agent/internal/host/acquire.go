package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/recovery"
)

// parallelSwaps is how many rows are written at a time: embedded stores make
// many durable with one sync.
const parallelSwaps = 64

// reconcile compares what this session owns with what it should own: it drops
// the partitions of deleted topics, takes over from the dead, acquires what is
// free, and hands over what should be elsewhere. Next is when the next round is
// due at the latest; zero is no particular time.
func (h *Host) reconcile(ctx context.Context) (next time.Time, err error) {
	before := h.topics()
	list, err := h.deps.Catalog.Refresh(ctx)
	if err != nil {
		return time.Time{}, err
	}
	h.dropDeleted(before, list)
	p, err := h.look(ctx, list)
	if err != nil {
		return time.Time{}, err
	}
	missing := h.missing(p)
	sealed, next, sealErr := h.challenge(ctx, p, len(missing) > 0)
	strays, strayErr := h.findStrays(ctx, p, sealed)
	doubtErr := h.resolveDoubts(ctx, p)
	acquireErr := h.acquireMissing(ctx, append(missing, strays...), sealed)
	h.countUnowned(p)
	h.handOverExtra(p)
	err = errors.Join(sealErr, strayErr, doubtErr, acquireErr)
	if err == nil || onlyDamage(err) {
		h.settle()
	}
	return next, err
}

// topics are those of which something is known here.
func (h *Host) topics() map[uint32]bool {
	known := map[uint32]bool{}
	for _, t := range h.Pipeline.Tenures() {
		known[t.Topic] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.doubts {
		known[id.Topic] = true
	}
	for id := range h.later {
		known[id.Topic] = true
	}
	return known
}

// dropDeleted ends the tenures of topics that are gone: those that were known
// before all topics were listed, and are not in the list. One that is newer than
// the list may have been handed over to this session while it was read.
func (h *Host) dropDeleted(before map[uint32]bool, list []*meta.Topic) {
	for _, t := range list {
		delete(before, t.ID)
	}
	if len(before) == 0 {
		return
	}
	for _, t := range h.Pipeline.Tenures() {
		if before[t.Topic] {
			h.Drop(t)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	gone := func(id flush.ID) bool { return before[id.Topic] }
	maps.DeleteFunc(h.doubts, func(id flush.ID, _ uint64) bool { return gone(id) })
	maps.DeleteFunc(h.later, func(id flush.ID, _ *delay) bool { return gone(id) })
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

// missing lists what should be owned here and is not, without what is under way
// and what has to wait after a failure.
func (h *Host) missing(p *plan) (ids []flush.ID) {
	now := time.Now()
	for _, t := range p.topics {
		for n := range t.Partitions {
			id := flush.ID{Topic: t.ID, Partition: n}
			if h.mine(p, id) && h.wanted(id, now) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func (h *Host) wanted(id flush.ID, now time.Time) bool {
	if h.Pipeline.Tenure(id) != nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.busy[id] && !h.later[id].waits(now)
}

// claim keeps others from touching partitions; it returns those that nobody
// else has claimed. What is claimed must be freed.
func (h *Host) claim(ids []flush.ID) (claimed []flush.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		if !h.busy[id] {
			h.busy[id] = true
			claimed = append(claimed, id)
		}
	}
	return claimed
}

func (h *Host) free(ids []flush.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		delete(h.busy, id)
	}
}

// acquireMissing acquires those of the partitions that are free, or were left
// by the sealed.
func (h *Host) acquireMissing(ctx context.Context, ids []flush.ID, sealed map[string]bool) error {
	ids = h.claim(ids)
	defer h.free(ids)
	found := map[flush.ID]string{}
	rows, readErr := h.read(ctx, ids)
	forgottenErr := h.addForgotten(ctx, rows, sealed)
	rows = slices.DeleteFunc(rows, func(row *meta.Partition) bool {
		if h.takeable(row, sealed) {
			return false
		}
		found[flush.ID{Topic: row.Topic, Partition: row.Partition}] = row.Owner
		return true
	})
	h.mu.Lock()
	h.found = found
	h.mu.Unlock()
	return errors.Join(readErr, forgottenErr, h.acquireAll(ctx, rows))
}

// addForgotten adds to the sealed those owners of rows whose sessions have no row
// any more. A session's row goes long after it was sealed; what it sent before, to
// acquire a partition, may land later still. One that has just begun is found.
func (h *Host) addForgotten(ctx context.Context, rows []*meta.Partition, sealed map[string]bool) error {
	p := h.planned()
	var errs []error
	for _, row := range rows {
		if row.Owner == "" || row.Owner == h.Session.ID || sealed[row.Owner] || p != nil && p.live[row.Owner] != nil {
			continue
		}
		err := h.deps.Rows.Get(ctx, &meta.Session{ID: row.Owner})
		switch {
		case errors.Is(err, meta.ErrNotFound):
			sealed[row.Owner] = true
		case err != nil:
			errs = append(errs, fmt.Errorf("read session %s: %w", row.Owner, err))
		}
	}
	return errors.Join(errs...)
}

// takeable is what nobody owns, what a session owned that was sealed before the
// row was read, and what an earlier try of ours won without hearing of it. An
// owner that came between the seal and the reading may be as dead as the one
// before it, but its journal is open: its turn is another round.
func (h *Host) takeable(row *meta.Partition, sealed map[string]bool) bool {
	return row.Owner == "" || row.Owner == h.Session.ID || sealed[row.Owner]
}

// acquireAll recovers partitions, which are claimed, and makes them ours. One
// that fails keeps none of the others.
func (h *Host) acquireAll(ctx context.Context, rows []*meta.Partition) error {
	if len(rows) == 0 {
		return nil
	}
	found, err := recovery.Run(ctx, h.deps.Rows, h.deps.Objects, rows)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var errs []error
	var group errgroup.Group
	group.SetLimit(parallelSwaps)
	for _, p := range found {
		group.Go(func() error {
			if err := h.acquire(ctx, p); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
			return nil
		})
	}
	_ = group.Wait() // each failure is in errs
	return errors.Join(errs...)
}

// acquire makes a partition ours under the next epoch, and begins the tenure.
func (h *Host) acquire(ctx context.Context, p *recovery.Partition) error {
	row := *p.Row
	id := flush.ID{Topic: row.Topic, Partition: row.Partition}
	if p.Err != nil {
		if recovery.Final(p.Err) {
			h.delay(id)
		}
		return &damage{id: id, err: p.Err}
	}
	if h.Pipeline.Tenure(id) != nil {
		return nil // it was handed over since it was found missing
	}
	if row.Owner == h.Session.ID && !h.doubted(id) {
		return h.astray(ctx, &row)
	}
	if row.Owner != h.Session.ID {
		if row.Owner != "" && p.End > max(row.Start, row.Checkpoint.End) {
			row.Tenures = append(slices.Clone(row.Tenures), meta.Tenure{
				Session: row.Owner, Epoch: row.Epoch, Start: row.Start, End: p.End,
				FirstSeq: row.FirstSeq, EndSeq: p.EndSeq,
			})
		}
		row.Owner, row.Start, row.FirstSeq = h.Session.ID, p.End, h.Pipeline.FirstSeq()
		row.Epoch++
		h.doubtful(id, row.Version)
		err := h.write(ctx, &row)
		if !h.deps.Exclusive && lost(err) {
			return nil // another agent was faster; the next round sees who
		}
		if err != nil {
			return fmt.Errorf("acquire partition %d of topic %d: %w", row.Partition, row.Topic, err)
		}
	}
	h.deps.Counters.LeaseAcquired(p.Row.Owner != "" && p.Row.Owner != h.Session.ID)
	// However often a partition changes hands, what it has to merge gets its turn.
	log := index.Open(&row, h.older, p.End, p.Ranges, h.opts.Compaction.Age/2)
	h.mu.Lock()
	h.rows[id] = &row
	delete(h.later, id)
	delete(h.doubts, id)
	h.mu.Unlock()
	return h.Pipeline.Own(flush.NewTenure(id, row.Epoch, p.End, row.FirstSeq, log, p.State))
}

// astray says what a row means that names this session, which has no tenure of it.
func (h *Host) astray(ctx context.Context, row *meta.Partition) error {
	_, err := h.deps.Catalog.ByID(ctx, row.Topic)
	switch {
	case errors.Is(err, reason.UnknownTopic):
		return nil // it was deleted since it was found missing
	case err != nil:
		return err
	}
	return fmt.Errorf("partition %d of topic %d, epoch %d: %w", row.Partition, row.Topic, row.Epoch, errAstray)
}

// errAstray ends a session whose own partition it has no tenure of, though it is
// not just hearing of winning it. Batches may still be on their way under that
// epoch, so a tenure that began again would give their offsets out twice.
var errAstray = errors.New("its row names this session, which has lost track of it")

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
	return errors.Is(err, meta.ErrConflict) || errors.Is(err, meta.ErrNotFound) || errors.Is(err, meta.ErrExists)
}
