package cleanup

import (
	"context"
	"log/slog"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// maxRounds bounds how often Run waits for a grace: agents that work meanwhile
// make new things removable all the time.
const maxRounds = 4

// Run removes what finished sessions and deleted topics left, once, and waits the
// grace for it; waits is told before each wait. The report has what all passes
// removed, and what waits after the last.
func Run(ctx context.Context, opts Options, rows meta.Store, objects objstore.Store, log *slog.Logger, waits func(Count)) (Report, error) {
	opts.ListEvery, opts.SweepEvery = 1, 1
	c := New(opts, Deps{Rows: rows, Objects: objects, Logger: log})
	all := Report{Removed: map[Group]Count{}}
	for round := 1; ; round++ {
		r, err := c.Others(ctx)
		all.add(&r)
		backlog := r.Backlog()
		if err != nil || opts.DryRun || round == maxRounds {
			return all, err
		}
		if n, _ := r.Objects(); n+r.Rows()+backlog.Number == 0 {
			return all, nil
		}
		if backlog.Number == 0 { // what went may let more go, at once
			continue
		}
		if waits != nil {
			waits(backlog)
		}
		if err := sleep(ctx, opts.Grace); err != nil {
			return all, err
		}
	}
}

// add takes over what a later pass tells.
func (r *Report) add(later *Report) {
	for g, c := range later.Removed {
		n := r.Removed[g]
		n.Number += c.Number
		n.Bytes += c.Bytes
		r.Removed[g] = n
	}
	r.Waiting = later.Waiting
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
