package rpc

import (
	"context"
	"errors"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
)

// hint adds to a NOT_OWNER where the owner most likely is, as it advertises
// itself on the listener that the caller came by. It reads nothing.
func (s *listening) hint(id flush.ID, err error) error {
	var refusal *reason.Error
	if !errors.As(err, &refusal) || refusal.Reason != reason.NotOwner {
		return err
	}
	now := time.Now()
	s.refused.Store(&now)
	h := s.host.Load()
	if h == nil {
		return err
	}
	owner := h.Owner(id)
	if owner == nil || owner.Addresses[s.name] == "" {
		return err
	}
	return refusal.With(reason.MetaOwner, owner.Addresses[s.name])
}

// Linger returns when nobody had to be sent to another agent for a while, or
// when ctx ends: the clients have moved.
func (s *Services) Linger(ctx context.Context, quiet time.Duration) {
	since := time.Now()
	for {
		if last := s.refused.Load(); last != nil && last.After(since) {
			since = *last
		}
		wait := quiet - time.Since(since)
		if wait <= 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
