package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/streamhouse/streamhouse/services/agent/internal/files"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
	"github.com/streamhouse/streamhouse/services/agent/internal/verify"
)

// What Verify takes and returns.
type (
	// VerifyOptions say what to read.
	VerifyOptions = verify.Options
	// VerifyReport counts what was checked.
	VerifyReport = verify.Report
	// VerifiedPartition is what one partition's log holds.
	VerifiedPartition = verify.Partition
	// FaultError is something that is not as it must be, and where.
	FaultError = verify.FaultError
	// Digest sums up which batches stand at which offsets.
	Digest = verify.Digest
)

// Errors that Verify returns, wrapped.
var (
	// ErrStoreInUse is returned for a folder that an agent has open.
	ErrStoreInUse = files.ErrLocked
	// ErrNoStore is returned for a folder that holds no store.
	ErrNoStore = errors.New("no store")
	// ErrNoTopic is returned for a topic that the store does not have.
	ErrNoTopic = verify.ErrNoTopic
)

// Verify reads what a store holds end to end and changes nothing of it. It
// returns a *FaultError for the first thing that is wrong, another error where it
// could not read, and in both cases what was checked until then.
//
// Agents may work on the store meanwhile, but for one of StoreFiles: that is
// locked while it is read, so that an agent that starts at this time is refused.
// Only the cluster's settings of the store count, and WithMemory and WithLogger.
func Verify(ctx context.Context, cfg StoreConfig, v VerifyOptions, opts ...Option) (*VerifyReport, error) {
	o := applyOptions(opts)
	cfg = Config{Store: cfg}.WithDefaults().Store
	var r rules
	if r.store(cfg); len(r) > 0 {
		return nil, errors.Join(r...)
	}
	s, err := openExisting(ctx, cfg, o.memory, o.logger)
	if err != nil {
		return nil, err
	}
	report, err := verify.Run(ctx, s.rows, s.objects, v)
	if closed := s.close(); closed != nil {
		err = errors.Join(err, closed)
	}
	return report, err
}

// openExisting opens a store without any faults, and makes none.
func openExisting(ctx context.Context, cfg StoreConfig, shared *Memory, log *slog.Logger) (*stores, error) {
	if shared == nil && cfg.Kind == StoreFiles {
		if _, err := os.Stat(filepath.Join(cfg.Dir, rowsFile)); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w in the folder %s", ErrNoStore, cfg.Dir)
		}
	}
	if shared == nil && cfg.Kind == StoreMemory {
		return nil, fmt.Errorf("%w: one of --store %s ends with its agent", ErrNoStore, StoreMemory)
	}
	if shared == nil && cfg.Kind == StoreAWS {
		s, _, err := openCheckedAWS(ctx, cfg.AWS, new(stats.Stats), log)
		return s, err
	}
	return openPlain(cfg, shared, new(stats.Stats), log)
}
