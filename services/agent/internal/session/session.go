// Package session keeps one run of an agent registered: a row with a heartbeat
// counter, renewed while the agent lives. Whoever takes the session's
// partitions over seals its journal and marks the row; from then on heartbeats
// are refused, and the session is finished (R7).
package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// ErrSealed is returned when another session took this one's place.
var ErrSealed = errors.New("the session was sealed")

// Options describe a session.
type Options struct {
	Agent     string
	Addresses map[string]string
	Zone      string
	Release   string
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
	row   *meta.Session // used by Start, Run and End only, one after the other

	mu      sync.Mutex
	renewed time.Time // monotonic, from before the last renewal was sent
}

// Start registers a new session under a fresh id.
func Start(ctx context.Context, store meta.Store, opts Options, log *slog.Logger) (*Session, error) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	s := &Session{ID: hex.EncodeToString(id[:]), store: store, opts: opts, log: log, renewed: time.Now()}
	s.row = &meta.Session{
		ID: s.ID, Agent: opts.Agent, Addresses: opts.Addresses, Zone: opts.Zone, Release: opts.Release,
		ReadsFormat: meta.Format, LeaseMillis: opts.Lease.Milliseconds(), StartedMillis: time.Now().UnixMilli(),
	}
	if err := store.Create(ctx, s.row); err != nil {
		return nil, fmt.Errorf("register session: %w", err)
	}
	return s, nil
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

// Run renews the lease until ctx ends, and returns ErrSealed when it was
// refused.
func (s *Session) Run(ctx context.Context) error {
	tick := time.NewTicker(s.opts.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if err := s.beat(ctx); errors.Is(err, ErrSealed) {
			return err
		} else if err != nil && ctx.Err() == nil {
			s.log.Warn("lease not renewed, trying again", slog.Any("error", err))
		}
	}
}

// beat renews once. A conflict is either the seal or an earlier beat of ours
// whose answer was lost; the row tells.
func (s *Session) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Lease)
	defer cancel()
	for {
		sent := time.Now()
		s.row.Beat++
		err := s.store.Swap(ctx, s.row)
		if err == nil {
			s.mu.Lock()
			s.renewed = sent
			s.mu.Unlock()
			return nil
		}
		if !errors.Is(err, meta.ErrConflict) {
			return fmt.Errorf("renew lease: %w", err)
		}
		if err := s.refresh(ctx); err != nil {
			return err
		}
	}
}

// refresh reads the row anew and tells whether it is sealed.
func (s *Session) refresh(ctx context.Context) error {
	row := &meta.Session{ID: s.ID}
	err := s.store.Get(ctx, row)
	if errors.Is(err, meta.ErrNotFound) || err == nil && row.Sealed {
		return ErrSealed
	}
	if err != nil {
		return fmt.Errorf("read own session: %w", err)
	}
	s.row = row
	return nil
}

// End seals the session itself, after it released what it held and stopped
// appending: a later agent finds it finished.
func (s *Session) End(ctx context.Context) error {
	return Seal(ctx, s.store, s.ID, s.ID)
}

// Seal ends a session on behalf of the session by (R4): first its journal, so
// that nothing can be committed any more, then its row, so that its heartbeats
// are refused. Only then may anybody read what it left. It tries until both
// stand or ctx ends: one lost answer of the store must not spoil a drain.
func Seal(ctx context.Context, store meta.Store, id, by string) error {
	if _, err := journal.Seal(ctx, store, id, by, 0); err != nil {
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
