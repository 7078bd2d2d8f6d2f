package agent

import (
	"context"
	"errors"

	"github.com/streamhouse/streamhouse/services/agent/internal/cleanup"
)

// What Clean takes and returns.
type (
	// CleanOptions say how to remove.
	CleanOptions = cleanup.Options
	// CleanReport counts what was removed.
	CleanReport = cleanup.Report
	// CleanAction is one removal.
	CleanAction = cleanup.Action
	// CleanGroup is what was removed, and why.
	CleanGroup = cleanup.Group
	// CleanCount sums up a group.
	CleanCount = cleanup.Count
)

// DefaultGrace is for how long agents have seen that something is not needed
// before they remove it.
const DefaultGrace = cleanup.DefaultGrace

// CleanGroups lists the groups of a report, sorted.
func CleanGroups(counts map[CleanGroup]CleanCount) []CleanGroup { return cleanup.Groups(counts) }

// Clean removes from a store what finished sessions and deleted topics left in it,
// which agents do by themselves. It waits the grace of c, and tells waits before
// it does, if that is set.
//
// Agents may work on the store meanwhile, and what is a live session's is left
// alone, as is that of a session that died and was not taken over yet. A store of
// StoreFiles is locked, as by Verify. Only the cluster's settings of the store
// count, and WithMemory and WithLogger.
func Clean(ctx context.Context, cfg StoreConfig, c CleanOptions, waits func(CleanCount), opts ...Option) (CleanReport, error) {
	o := applyOptions(opts)
	cfg = Config{Store: cfg}.WithDefaults().Store
	var r rules
	if r.store(cfg); len(r) > 0 {
		return CleanReport{}, errors.Join(r...)
	}
	s, err := openExisting(ctx, cfg, o.memory, o.logger)
	if err != nil {
		return CleanReport{}, err
	}
	report, err := cleanup.Run(ctx, c, s.rows, s.objects, o.logger, waits)
	if closed := s.close(); closed != nil {
		err = errors.Join(err, closed)
	}
	return report, err
}
