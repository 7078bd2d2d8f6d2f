// Package session keeps one run of an agent registered: a row with a heartbeat
// counter, renewed while the agent lives. Whoever takes the session's
// partitions over seals its journal and marks the row; from then on heartbeats
// are refused, and the session is finished (R7).
package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/format"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// ErrSealed is returned when another session took this one's place: nothing more
// can be committed, so it is an ErrFenced too.
var ErrSealed = fmt.Errorf("the session was sealed: %w", journal.ErrFenced)

// Options describe a session.
type Options struct {
	Agent     string
	Addresses map[string]string
	Zone      string
	Release   string
	// ReadsFormat is the newest format that the session reads; 0 stands for the
	// program's.
	ReadsFormat int
	// Heartbeat is the interval of renewals, Lease how long one lasts.
	Heartbeat time.Duration
	Lease     time.Duration
}

// margin is the part of a lease, as a divisor, that the session itself does
// not use: others may act after a whole lease on their own clocks.
const margin = 5

// Session is one run of an agent. It is safe for concurrent use.
type Session struct {
	ID    string
	store meta.Store
	opts  Options
	log   *slog.Logger
	now   chan struct{} // renew now
	row   *meta.Session // as stored last; used by Start and Run only

	mu      sync.Mutex
	renewed time.Time // monotonic, from before the last renewal was sent
	steady  time.Time // since when no renewal was missed
	leaving bool
	tried   uint64    // the beat that was sent last
	lands   time.Time // from before it could stand
}

// Start registers a new session under a fresh id.
func Start(ctx context.Context, store meta.Store, opts Options, log *slog.Logger) (*Session, error) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	now := time.Now()
	opts.ReadsFormat = cmp.Or(opts.ReadsFormat, format.Reads())
	s := &Session{
		ID: hex.EncodeToString(id[:]), store: store, opts: opts, log: log,
		now: make(chan struct{}, 1), renewed: now, steady: now,
	}
	s.row = &meta.Session{
		ID: s.ID, Agent: opts.Agent, Addresses: opts.Addresses, Zone: opts.Zone, Release: opts.Release,
		ReadsFormat: opts.ReadsFormat, LeaseMillis: opts.Lease.Milliseconds(), StartedMillis: now.UnixMilli(),
	}
	if err := store.Create(ctx, s.row); err != nil {
		return nil, fmt.Errorf("register session: %w", err)
	}
	return s, nil
}

// Describe tells about the session as its row does, without reading it.
func (s *Session) Describe() *meta.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &meta.Session{
		ID: s.ID, Agent: s.opts.Agent, Addresses: s.opts.Addresses, Zone: s.opts.Zone, Release: s.opts.Release,
		ReadsFormat: s.opts.ReadsFormat, LeaseMillis: s.opts.Lease.Milliseconds(), Leaving: s.leaving,
	}
}

// Renewed is when the lease was renewed last.
func (s *Session) Renewed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed
}

// Valid returns the refusal to give at a time when the lease is not renewed.
// It spares work that could not be committed; safety does not depend on it
// (R8).
func (s *Session) Valid(now time.Time) error {
	s.mu.Lock()
	age := now.Sub(s.renewed)
	s.mu.Unlock()
	if age < s.opts.Lease-s.opts.Lease/margin {
		return nil
	}
	return reason.New(reason.LeaseExpired, "the agent could not renew its lease for %s", age.Round(time.Millisecond))
}

// End seals the session itself, after it released what it held and stopped
// appending: a later agent finds it finished. All rows of its journal below from
// are known to stand.
func (s *Session) End(ctx context.Context, from uint64) error {
	return Seal(ctx, s.store, s.ID, s.ID, from)
}

// Seal ends a session on behalf of the session by (R4): first its journal, so
// that nothing can be committed any more, then its row, so that its heartbeats
// are refused. Only then may anybody read what it left. It tries until both
// stand or ctx ends: one lost answer of the store must not spoil a drain. All
// rows of the journal below from are known to stand.
func Seal(ctx context.Context, store meta.Store, id, by string, from uint64) error {
	if _, err := journal.Seal(ctx, store, id, by, from); err != nil {
		return err
	}
	for {
		err := sealRow(ctx, store, id)
		if err == nil {
			return nil
		}
		if errors.Is(err, meta.ErrNotFound) || errors.Is(err, meta.ErrTooNew) || sleep(ctx, sealPause) != nil {
			return fmt.Errorf("seal session %s: %w", id, err)
		}
	}
}

// sealPause is how long to wait before a seal is tried again.
const sealPause = 20 * time.Millisecond

// sealRow marks the session's row. A conflict is a heartbeat that came first,
// or the answer to a try of our own: the row tells.
func sealRow(ctx context.Context, store meta.Store, id string) error {
	row := &meta.Session{ID: id}
	if err := store.Get(ctx, row); err != nil {
		return err
	}
	if row.Sealed {
		return nil
	}
	row.Sealed = true
	return store.Swap(ctx, row)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
