package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/streamhouse/streamhouse/services/agent/internal/bolt"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/files"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/remote"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// stores are the two stores of an agent and what guards them.
type stores struct {
	objects objstore.Store
	rows    meta.Store
	unlock  func() error
	faults  *faults.Injector
	// exclusive: no other process can use the store while this one does.
	exclusive bool
}

// openStores opens the configured stores. Requests are counted and timed
// outermost, so that injected latency shows.
func openStores(cfg StoreConfig, shared *Memory, counts *stats.Stats, log *slog.Logger) (*stores, error) {
	s, err := openPlain(cfg, shared, counts, log)
	if err != nil {
		return nil, err
	}
	if err := s.inject(cfg); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if cfg.Kind == StoreAWS && shared == nil { // it tells of its requests itself
		s.objects, s.rows = counts.TimedObjects(s.objects), counts.TimedRows(s.rows)
	} else {
		s.objects, s.rows = counts.Objects(s.objects), counts.Rows(s.rows)
	}
	return s, nil
}

func openPlain(cfg StoreConfig, shared *Memory, counts *stats.Stats, log *slog.Logger) (*stores, error) {
	none := func() error { return nil }
	switch {
	case shared != nil:
		return &stores{objects: shared.objects, rows: shared.rows, unlock: none, exclusive: !shared.shared}, nil
	case cfg.Kind == StoreMemory:
		var objects objstore.Store = memory.NewObjects()
		if cfg.MemoryKeepBytes > 0 {
			objects = memory.NewSink(cfg.MemoryKeepBytes)
		}
		return &stores{objects: objects, rows: memory.NewRows(), unlock: none, exclusive: true}, nil
	case cfg.Kind == StoreAWS:
		return openAWS(cfg.AWS, counts, log)
	case cfg.Kind == StoreRemote:
		objects, rows := remote.Dial(cfg.Address)
		return &stores{objects: objects, rows: rows, unlock: none}, nil
	default:
		return openFiles(cfg.Dir)
	}
}

// rowsFile is where the embedded store keeps its rows, in its folder.
const rowsFile = "meta.db"

// openFiles opens the embedded store, which this process then holds alone:
// whatever session wrote to it before is dead.
func openFiles(dir string) (*stores, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make store folder: %w", err)
	}
	unlock, err := files.Lock(dir)
	if err != nil {
		return nil, err
	}
	objects, err := files.Open(filepath.Join(dir, "objects"))
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	rows, err := bolt.Open(filepath.Join(dir, rowsFile))
	if err != nil {
		return nil, errors.Join(err, objects.Close(), unlock())
	}
	return &stores{objects: objects, rows: rows, unlock: unlock, exclusive: true}, nil
}

// inject adds the latency and the faults that tests and benchmarks ask for.
func (s *stores) inject(cfg StoreConfig) error {
	plan := faults.Plan{Seed: cfg.FaultSeed}
	var err error
	for text, latency := range map[*string]*faults.Latency{&cfg.PutLatency: &plan.Put, &cfg.CommitLatency: &plan.Commit} {
		if *text == "" {
			continue
		}
		if *latency, err = faults.ParseLatency(*text); err != nil {
			return err
		}
	}
	for _, text := range cfg.Faults {
		rule, err := faults.ParseRule(text)
		if err != nil {
			return err
		}
		plan.Rules = append(plan.Rules, rule)
	}
	if cfg.PutLatency == "" && cfg.CommitLatency == "" && len(plan.Rules) == 0 {
		return nil
	}
	s.faults = faults.New(plan)
	s.objects, s.rows = s.faults.Objects(s.objects), s.faults.Rows(s.rows)
	return nil
}

func (s *stores) close() error {
	return errors.Join(s.objects.Close(), s.rows.Close(), s.unlock())
}
