// Package host holds what one session of an agent owns: it registers the
// session, watches the others, takes partitions over, keeps them, hands them on
// and gives them back. When the session is finished, the host is thrown away
// with everything in it, and the agent begins anew with another (R7).
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/format"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/members"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/reader"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
)

// Options tune a Host.
type Options struct {
	Session session.Options
	Flush   flush.Options
	// Compaction tunes the merging of segments; with an Age of 0 there is none.
	Compaction compaction.Options
	Cleanup    CleanupOptions
	// CacheBytes bounds the memory for segments that are read again.
	CacheBytes int64
}

// Counters are told what was committed, and which partitions changed owners.
type Counters interface {
	flush.Counters
	// LeaseAcquired is told of each partition that became this session's: whether
	// it was taken over from a dead one, or nobody's.
	LeaseAcquired(takenOver bool)
	// LeasesReleased is told how many were given up in good order.
	LeasesReleased(n int)
}

// Deps are what a Host works with.
type Deps struct {
	Objects  objstore.Store
	Rows     meta.Store
	Catalog  *topics.Catalog
	Counters Counters
	// Compaction is told what was merged.
	Compaction compaction.Counters
	Removals   Removals
	// Exclusive says that this process holds the store under a lock: every
	// other session is dead, and everything is this one's. On a shared store
	// only R8 can tell.
	Exclusive bool
	// Format is what this agent writes: Rows in it, by meta.InFormat, and
	// segments. The host keeps it at what all live sessions read. nil is the
	// oldest.
	Format *format.Agreed
	// Peers reaches the agents of other sessions; nil on an exclusive store.
	Peers  Peers
	Logger *slog.Logger
}

// Host is one session and its partitions. It is safe for concurrent use.
type Host struct {
	Session  *session.Session
	Pipeline *flush.Pipeline
	Reader   *reader.Reader

	opts    Options
	deps    Deps
	older   *index.Rows      // finds what was merged
	watcher *members.Watcher // used by keep only
	kick    chan struct{}    // something changed: reconcile now
	// settled is closed after the first round that acquired all it could.
	settled chan struct{}
	// leaving is closed when nothing more is to be acquired, and kept once no
	// acquisition is under way any more.
	leaving, kept chan struct{}
	tasks         tasks
	strays        strays // used by keep only

	mu     sync.Mutex
	rows   map[flush.ID]*meta.Partition // of what is owned, as written last
	rounds chan struct{}                // closed and replaced after every reconcile
	plan   *plan                        // of the last round
	busy   map[flush.ID]bool            // being acquired or handed over
	found  map[flush.ID]string          // who owns what should be here, as the last round read it
	later  map[flush.ID]*delay          // what could not be recovered
	doubts map[flush.ID]uint64          // what may be ours unheard: its version before

	states map[string]bool // objects of producers' states that a row may be about to name

	unowned int // partitions that nobody owned in the last round
}

// Start registers a session. It owns nothing yet; Run acquires. It registers none
// where newer agents write what this one cannot read.
func Start(ctx context.Context, opts Options, deps Deps) (*Host, error) {
	deps.Format.Agree(format.Oldest) // until it is known who lives
	for _, err := range meta.Scan[*meta.Session](ctx, deps.Rows) {
		if err != nil {
			return nil, fmt.Errorf("read sessions: %w", err)
		}
	}
	s, err := session.Start(ctx, deps.Rows, opts.Session, deps.Logger)
	if err != nil {
		return nil, err
	}
	h := &Host{
		Session: s, Reader: reader.New(deps.Objects, opts.CacheBytes), opts: opts, deps: deps,
		watcher: members.New(deps.Rows, s.ID, s.Steady),
		kick:    make(chan struct{}, 1), rows: map[flush.ID]*meta.Partition{}, rounds: make(chan struct{}),
		settled: make(chan struct{}), leaving: make(chan struct{}), kept: make(chan struct{}),
		busy: map[flush.ID]bool{}, states: map[string]bool{}, older: index.NewRows(deps.Rows), later: map[flush.ID]*delay{}, doubts: map[flush.ID]uint64{},
	}
	h.Pipeline = flush.New(opts.Flush, flush.Deps{
		Session: s.ID, Objects: deps.Objects, Journal: journal.NewWriter(deps.Rows, s.ID), Format: deps.Format,
		Valid: s.Valid, Recent: h.Reader, Counters: deps.Counters, Logger: deps.Logger,
	})
	return h, nil
}

// Run serves until ctx ends or the session is finished, and returns why:
// session.ErrSealed or journal.ErrFenced when another session took over.
func (h *Host) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	h.tasks.open(ctx)
	defer h.tasks.wait()
	defer cancel(nil)
	var parts sync.WaitGroup
	parts.Go(func() { h.compact(ctx) })
	parts.Go(func() { h.clean(ctx) })
	for _, run := range []func(context.Context) error{h.Session.Run, h.Pipeline.Run, h.keep} {
		parts.Go(func() { cancel(run(ctx)) })
	}
	<-ctx.Done()
	parts.Wait()
	return context.Cause(ctx)
}

// Close ends what reads from the store, after Run: a session that was taken over
// serves committed records until another has its place (R9). Nil is fine.
func (h *Host) Close() {
	if h != nil {
		h.Reader.Close()
	}
}

// Finished says whether err, from Run, means that the session was taken over.
func Finished(err error) bool {
	return errors.Is(err, session.ErrSealed) || errors.Is(err, journal.ErrFenced) || errors.Is(err, errAstray)
}

// errDraining is what producers are told while the agent shuts down.
func errDraining() error {
	return reason.New(reason.Draining, "this agent is shutting down")
}
