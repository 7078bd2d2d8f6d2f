// Package host holds what one session of an agent owns: it registers the
// session, takes partitions over, keeps them, and gives them back. When the
// session is finished, the host is thrown away with everything in it, and the
// agent begins anew with another (R7).
package host

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/reader"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
)

// Options tune a Host.
type Options struct {
	Session session.Options
	Flush   flush.Options
	// CacheBytes bounds the memory for segments that are read again.
	CacheBytes int64
}

// Deps are what a Host works with.
type Deps struct {
	Objects  objstore.Store
	Rows     meta.Store
	Catalog  *topics.Catalog
	Counters flush.Counters
	// Dead decides whether a session's partitions may be taken over now. On a
	// store that this process holds under an exclusive lock, every other
	// session is dead; on a shared store only R8 can tell.
	Dead   func(session string) bool
	Logger *slog.Logger
}

// Host is one session and its partitions. It is safe for concurrent use.
type Host struct {
	Session  *session.Session
	Pipeline *flush.Pipeline
	Reader   *reader.Reader

	opts Options
	deps Deps
	kick chan struct{} // something changed: reconcile now
	// settled is closed after the first round that acquired all it could.
	settled chan struct{}
	// leaving is closed when nothing more is to be acquired, and kept once no
	// acquisition is under way any more.
	leaving, kept chan struct{}

	mu     sync.Mutex
	rows   map[flush.ID]*meta.Partition // of what is owned, as written last
	rounds chan struct{}                // closed and replaced after every reconcile
}

// Start registers a session. It owns nothing yet; Run acquires.
func Start(ctx context.Context, opts Options, deps Deps) (*Host, error) {
	s, err := session.Start(ctx, deps.Rows, opts.Session, deps.Logger)
	if err != nil {
		return nil, err
	}
	h := &Host{
		Session: s, Reader: reader.New(deps.Objects, opts.CacheBytes), opts: opts, deps: deps,
		kick: make(chan struct{}, 1), rows: map[flush.ID]*meta.Partition{}, rounds: make(chan struct{}),
		settled: make(chan struct{}), leaving: make(chan struct{}), kept: make(chan struct{}),
	}
	h.Pipeline = flush.New(opts.Flush, flush.Deps{
		Session: s.ID, Objects: deps.Objects, Journal: journal.NewWriter(deps.Rows, s.ID),
		Valid: s.Valid, Recent: h.Reader, Counters: deps.Counters, Logger: deps.Logger,
	})
	return h, nil
}

// Run serves until ctx ends or the session is finished, and returns why:
// session.ErrSealed or journal.ErrFenced when another session took over.
func (h *Host) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
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
	return errors.Is(err, session.ErrSealed) || errors.Is(err, journal.ErrFenced)
}

// expireEvery is how often producers that fell silent are forgotten.
const expireEvery = 10 * time.Minute

// keep reconciles what is owned with what should be, until ctx ends. After
// Leave it does nothing: a round would find the partitions that were just given
// back without an owner, and take them again.
func (h *Host) keep(ctx context.Context) error {
	err := h.reconcileUntilLeave(ctx)
	close(h.kept)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// reconcileUntilLeave reconciles at every tick and whenever it is kicked. A
// step that failed is tried again at the next.
func (h *Host) reconcileUntilLeave(ctx context.Context) error {
	tick := time.NewTicker(h.opts.Session.Heartbeat)
	defer tick.Stop()
	expired := time.Now()
	for {
		err := h.reconcile(ctx)
		switch {
		case err == nil:
			h.settle()
		case errors.Is(err, meta.ErrTooNew), errors.Is(err, segment.ErrTooNew):
			return err // no later try can mend that
		case ctx.Err() == nil:
			h.warn(err)
		}
		h.endRound()
		if now := time.Now(); now.Sub(expired) > expireEvery {
			h.Pipeline.ExpireProducers(now)
			expired = now
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-h.leaving:
			return nil
		case <-tick.C:
		case <-h.kick:
		}
	}
}

// warn tells of a round that failed; not of one that met the drain, which is no
// trouble.
func (h *Host) warn(err error) {
	select {
	case <-h.leaving:
	default:
		h.deps.Logger.Warn("partitions not acquired, trying again", slog.Any("error", err))
	}
}

// Settled is closed once the host acquired what it found in the store.
func (h *Host) Settled() <-chan struct{} { return h.settled }

func (h *Host) settle() {
	select {
	case <-h.settled:
	default:
		close(h.settled)
	}
}

// Kick makes the host look for partitions to acquire, or to drop, now.
func (h *Host) Kick() {
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

func (h *Host) endRound() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.rounds)
	h.rounds = make(chan struct{})
}

func (h *Host) round() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rounds
}

// Await waits until all partitions of a topic are owned here, or ctx ends. The
// first round may have begun too early to know of the topic; if the second has
// not helped either, something is wrong with the store, and the next ones come
// after a pause.
func (h *Host) Await(ctx context.Context, t *meta.Topic) error {
	for try := 0; ; try++ {
		round := h.round()
		if h.ownsAll(t) {
			return nil
		}
		if try > 1 && pause(ctx) != nil {
			return context.Cause(ctx)
		}
		h.Kick()
		select {
		case <-round:
		case <-h.leaving:
			return errDraining()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (h *Host) ownsAll(t *meta.Topic) bool {
	for p := range t.Partitions {
		if h.Pipeline.Tenure(flush.ID{Topic: t.ID, Partition: p}) == nil {
			return false
		}
	}
	return true
}

// errDraining is what producers are told while the agent shuts down.
func errDraining() error {
	return reason.New(reason.Draining, "this agent is shutting down")
}
