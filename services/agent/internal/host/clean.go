package host

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/assign"
	"github.com/streamhouse/streamhouse/services/agent/internal/cleanup"
)

// CleanupOptions tune the removal of what nothing names any more.
type CleanupOptions struct {
	// Interval is the time from one look to the next; 0 is no clean-up.
	Interval time.Duration
	cleanup.Options
}

// Removals is told what clean-up removed, and what waits.
type Removals interface {
	Removed(rows, objects int, bytes int64)
	// Removable is told of how many rows, and how many bytes of objects, wait.
	Removable(rows int, bytes int64, oldest time.Duration)
}

// clean removes what this session left behind itself, and, on one agent of the
// cluster, what finished sessions and deleted topics left, until ctx ends or the
// host leaves.
func (h *Host) clean(ctx context.Context) {
	if h.opts.Cleanup.Interval <= 0 {
		return
	}
	ctx, stop := h.untilLeave(ctx)
	defer stop()
	cleaner := cleanup.New(h.opts.Cleanup.Options, cleanup.Deps{
		Rows: h.deps.Rows, Objects: h.deps.Objects, Session: h.Session.ID,
		Horizon: h.Pipeline.Horizon, Keep: h.protected, Logger: h.deps.Logger,
	})
	timer := time.NewTimer(h.opts.Cleanup.Interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		h.cleanOnce(ctx, cleaner)
		timer.Reset(h.opts.Cleanup.Interval)
	}
}

func (h *Host) cleanOnce(ctx context.Context, cleaner *cleanup.Cleaner) {
	report, err := cleaner.Own(ctx)
	h.removed(ctx, &report, err)
	waits := report.Backlog()
	if h.onDuty() && ctx.Err() == nil {
		report, err = cleaner.Others(ctx)
		h.removed(ctx, &report, err)
		more := report.Backlog()
		waits.Rows += more.Rows
		waits.Bytes += more.Bytes
		waits.Oldest = max(waits.Oldest, more.Oldest)
	}
	h.deps.Removals.Removable(waits.Rows, waits.Bytes, waits.Oldest)
}

func (h *Host) removed(ctx context.Context, report *cleanup.Report, err error) {
	objects, bytes := report.Objects()
	h.deps.Removals.Removed(report.Rows(), objects, bytes)
	if err != nil && ctx.Err() == nil {
		h.deps.Logger.Warn("not all removed that could be, trying again", slog.Any("error", err))
	}
}

// onDuty says whether this session looks after what nobody owns. All agree on who
// does as long as they see the same; two at it at once do no harm.
func (h *Host) onDuty() bool {
	p := h.planned()
	switch {
	case h.deps.Exclusive:
		return true
	case p == nil:
		return false
	default:
		return slices.Index(assign.Order("clean-up", p.members), h.Session.ID) == 0
	}
}

// protected says whether a row may be about to name an object of producers' states.
func (h *Host) protected(key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.states[key]
}
