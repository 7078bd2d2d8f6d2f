package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
)

const (
	// hurry is the part of a heartbeat, as a divisor, after which one that
	// failed is tried again.
	hurry = 4
	// patience is the part of a lease, as a divisor, that one try may take: a
	// request that hangs must not take the time of the next.
	patience = 2
	// missed is how many heartbeats apart two renewals may be before others
	// could have missed one.
	missed = 2
)

// Run renews the lease until ctx ends, and returns ErrSealed when it was
// refused.
func (s *Session) Run(ctx context.Context) error {
	timer := time.NewTimer(s.opts.Heartbeat)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case <-s.now:
		}
		began := time.Now()
		err := s.beat(ctx)
		switch {
		case errors.Is(err, ErrSealed) && mutation.Off(mutation.R7):
			s.renew(began)
			timer.Reset(s.opts.Heartbeat)
		case errors.Is(err, ErrSealed):
			return err
		case err == nil:
			timer.Reset(max(0, s.opts.Heartbeat-time.Since(began)))
		default:
			timer.Reset(s.opts.Heartbeat / hurry)
			if ctx.Err() == nil {
				s.log.Warn("lease not renewed, trying again", slog.Any("error", err))
			}
		}
	}
}

// Withdraw lets the others know, with a heartbeat at once, that the session
// leaves: nothing more should be assigned to it.
func (s *Session) Withdraw() {
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	select {
	case s.now <- struct{}{}:
	default:
	}
}

// Steady returns since when the session has renewed its lease without missing a
// renewal, which includes that its process ran. ok is false when one is missing
// now. Who cannot reach the store may not judge that others do not (R8).
func (s *Session) Steady(now time.Time) (since time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.steady, now.Sub(s.renewed) <= missed*s.opts.Heartbeat
}

// beat renews once. When it is not known what became of it, or when the row was
// changed meanwhile, by the seal or by an earlier beat of ours, the row tells.
func (s *Session) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Lease/patience)
	defer cancel()
	for {
		next := *s.row
		next.Beat++
		sent := s.attempt(&next)
		err := s.store.Swap(ctx, &next)
		if err == nil {
			s.row = &next
			s.renew(sent)
			return nil
		}
		asked := time.Now()
		stands, readErr := s.refresh(ctx, next.Beat)
		if readErr == nil && !stands {
			s.notBefore(asked)
		}
		switch {
		case readErr != nil && errors.Is(readErr, ErrSealed):
			return readErr
		case readErr != nil:
			return fmt.Errorf("renew lease: %w", errors.Join(err, readErr))
		case stands:
			s.renew(sent)
			return nil
		case !errors.Is(err, meta.ErrConflict):
			return fmt.Errorf("renew lease: %w", err)
		}
	}
}

// attempt completes the row to send and returns from when on its renewal
// counts. When a beat is sent again, its first try may be the one that lands.
func (s *Session) attempt(row *meta.Session) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	row.Leaving = s.leaving
	if row.Beat != s.tried {
		s.tried, s.lands = row.Beat, time.Now()
	}
	return s.lands
}

// notBefore notes a time at which the beat that was sent did not stand.
func (s *Session) notBefore(asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lands = asked
}

func (s *Session) renew(sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sent.Sub(s.renewed) > missed*s.opts.Heartbeat {
		s.steady = time.Now()
	}
	s.renewed = sent
}

// refresh reads the row anew, and tells whether a beat stands in it.
func (s *Session) refresh(ctx context.Context, beat uint64) (stands bool, err error) {
	row := &meta.Session{ID: s.ID}
	err = s.store.Get(ctx, row)
	if errors.Is(err, meta.ErrNotFound) || err == nil && row.Sealed {
		return false, ErrSealed
	}
	if err != nil {
		return false, fmt.Errorf("read own session: %w", err)
	}
	s.row = row
	return row.Beat >= beat, nil
}
