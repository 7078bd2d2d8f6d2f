// Package agent is the StreamHouse agent: it takes batches over gRPC, makes
// them durable in an object store and a metadata store, and serves them to
// readers. An agent keeps nothing of its own: what it holds is what its
// session may append to, and another agent can take that over.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/cleanup"
	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/format"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/peer"
	"github.com/streamhouse/streamhouse/services/agent/internal/rpc"
	"github.com/streamhouse/streamhouse/services/agent/internal/server"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
)

// Agent is one agent process. New makes it, Run runs it, once.
type Agent struct {
	cfg      Config
	log      *slog.Logger
	stats    *stats.Stats
	stores   *stores
	rows     meta.Store // the stores', for a writer
	format   *format.Agreed
	catalog  *topics.Catalog
	services *rpc.Services
	server   *server.Server
	observed *observation
	peers    *peer.Client // nil on an exclusive store
	ready    chan struct{}

	stateEvery uint32 // flush.Options.StateEvery
}

// New opens the store and binds the listeners. The agent serves once Run is
// called; if Run is never called, Close frees what New took.
func New(cfg Config, opts ...Option) (*Agent, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	o := applyOptions(opts)
	a := &Agent{cfg: cfg, log: o.logger, stats: &stats.Stats{}, ready: make(chan struct{}), stateEvery: o.stateEvery}
	var err error
	if a.stores, err = openStores(cfg.Store, o.memory, a.stats, o.logger); err != nil {
		return nil, err
	}
	a.format = format.New(0)
	a.rows = meta.InFormat(a.stores.rows, a.format)
	a.catalog = topics.New(a.rows, uint32(cfg.Limits.MaxPartitions))
	a.services = rpc.New(rpc.Options{Release: Version(), Zone: cfg.Zone, MaxBatchBytes: int(cfg.Limits.MaxBatchBytes), Prices: cfg.Store.Prices()},
		a.catalog, a.rows, a.stats)
	if a.peers, err = a.dialPeers(o); err != nil {
		return nil, errors.Join(err, a.stores.close())
	}
	if a.server, err = a.listen(o); err != nil {
		return nil, errors.Join(err, a.stores.close())
	}
	if a.observed, err = a.observe(); err != nil {
		return nil, errors.Join(err, a.server.Stop(0), a.stores.close())
	}
	return a, nil
}

// Ready is closed when the agent serves and owns what it found in its store.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// Addr is the address that a listener is bound to.
func (a *Agent) Addr(listener string) string { return a.server.Addr(listener) }

// Close frees what New took, for an agent that is never run.
func (a *Agent) Close() error {
	return errors.Join(a.server.Stop(0), a.observed.close(), a.stores.close())
}

// Run serves until ctx ends, then drains: it refuses new batches, makes
// durable and answers what it took, gives its partitions back, and returns
// nil. It returns an error when the drain took longer than its limit, or when
// the agent cannot go on.
func (a *Agent) Run(ctx context.Context) error {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := a.server.Serve(life); err != nil {
			end(fmt.Errorf("serve: %w", err))
		}
	})
	serving.Go(func() {
		if err := a.observed.run(life); err != nil {
			a.log.Warn("metrics are not shown", slog.Any("error", err))
		}
	})
	err := a.live(ctx, life)
	a.services.Stop()
	if stop := a.server.Stop(stopLimit); stop != nil {
		a.log.Warn("clients hung on", slog.Any("error", stop))
	}
	end(nil)
	serving.Wait()
	a.services.Wait()
	a.services.SetHost(nil).Close()
	if a.peers != nil {
		a.peers.Close()
	}
	return errors.Join(err, a.stores.close())
}

// stopLimit is how long calls may take to end once everything is durable and
// answered: only readers that wait for new records are left.
const stopLimit = 5 * time.Second

// restartPause keeps an agent whose sessions are taken over again and again
// from storming the store.
const restartPause = 100 * time.Millisecond

// live runs one session after the other until ctx ends or one fails for
// another reason than having been taken over (R7).
func (a *Agent) live(ctx, life context.Context) error {
	for {
		again, err := a.liveOnce(ctx, life)
		if !again {
			return err
		}
		a.log.Warn("session over, starting another", slog.Any("cause", err))
		select {
		case <-ctx.Done():
			return nil
		case <-life.Done():
			return context.Cause(life)
		case <-time.After(restartPause):
		}
	}
}

// liveOnce runs one session to its end. The session's uploads and commits run
// under its own context, which outlives ctx until the drain is over.
func (a *Agent) liveOnce(ctx, life context.Context) (again bool, err error) {
	deps := host.Deps{
		Objects: a.stores.objects, Rows: a.rows, Format: a.format, Catalog: a.catalog, Counters: a.stats,
		Compaction: a.stats, Removals: a.stats,
		Exclusive: a.stores.exclusive, Logger: a.log,
	}
	if a.peers != nil {
		deps.Peers = a.peers
	}
	h, err := host.Start(ctx, a.hostOptions(), deps)
	if err != nil {
		return ctx.Err() == nil && life.Err() == nil && !errors.Is(err, meta.ErrTooNew), err
	}
	a.log.Info("session started", slog.String("session", h.Session.ID))
	run, stop := context.WithCancelCause(life)
	ended := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { ended <- h.Run(run) })
	defer running.Wait()
	defer stop(errEnded)
	a.services.SetHost(h).Close() // the session before this one
	for settled := h.Settled(); ; {
		select {
		case <-settled:
			settled = nil
			a.announce()
		case err := <-ended:
			return host.Finished(err), err
		case <-ctx.Done():
			return false, a.drain(life, h)
		}
	}
}

var errEnded = errors.New("the agent ended")

func (a *Agent) announce() {
	select {
	case <-a.ready:
	default:
		close(a.ready)
	}
}

func (a *Agent) drain(life context.Context, h *host.Host) error {
	a.log.Info("draining", slog.Duration("limit", a.cfg.DrainTimeout))
	a.server.Withdraw()
	ctx, cancel := context.WithTimeoutCause(life, a.cfg.DrainTimeout, errors.New("the drain took longer than its limit"))
	defer cancel()
	if err := h.Leave(ctx); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if h.Moved() {
		grace, cancel := context.WithTimeout(ctx, moveLimit)
		defer cancel()
		a.services.Linger(grace, moveQuiet)
	}
	return nil
}

// After its partitions have gone to others, an agent tells clients where, until
// none has asked for moveQuiet, and no longer than moveLimit.
const (
	moveQuiet = time.Second
	moveLimit = 10 * time.Second
)

func (a *Agent) hostOptions() host.Options {
	return host.Options{
		Session: session.Options{
			Agent: a.cfg.Name, Addresses: a.server.Advertised(), Zone: a.cfg.Zone, Release: Version(),
			Heartbeat: a.cfg.Session.Heartbeat, Lease: a.cfg.Session.Lease,
		},
		Flush: flush.Options{
			Bytes: int(a.cfg.Flush.Bytes), Age: a.cfg.Flush.Age, MaxPerSecond: max(0, a.cfg.Flush.MaxPerSecond),
			Concurrency: a.cfg.Flush.Concurrency, HedgeBudget: a.hedgeBudget(), BufferBytes: a.cfg.Buffers.Bytes,
			MaxProducers: a.cfg.Limits.MaxProducerStates, AckTimeout: a.cfg.AckTimeout, PutTimeout: a.cfg.AckTimeout,
			StateEvery: a.stateEvery,
		},
		Compaction: a.compaction(),
		Cleanup: host.CleanupOptions{Interval: a.cfg.Cleanup.Interval, Options: cleanup.Options{
			Grace: a.cfg.Cleanup.Grace, Longest: a.cfg.Cleanup.Interval,
		}},
		CacheBytes: a.cfg.Buffers.CacheBytes,
	}
}

// compaction is none on a store that forgets its objects.
func (a *Agent) compaction() compaction.Options {
	if a.cfg.Store.MemoryKeepBytes > 0 {
		return compaction.Options{}
	}
	c := a.cfg.Compaction
	return compaction.Options{Bytes: c.Bytes, Age: c.Age, Memory: c.MemoryBytes, BytesPerSecond: c.BytesPerSecond}
}

func (a *Agent) hedgeBudget() float64 {
	if a.cfg.Store.Kind == StoreFiles {
		return 0
	}
	return max(0, a.cfg.Flush.HedgeBudget) // NoHedging is negative
}

// InjectedFaults counts the faults of StoreConfig.Faults that came true: a
// test that makes every N-th request fail knows by it when N is past the end.
func (a *Agent) InjectedFaults() uint64 {
	if a.stores.faults == nil {
		return 0
	}
	return a.stores.faults.Injected()
}
