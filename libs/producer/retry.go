package producer

import (
	"math"
	"math/rand/v2"
	"time"
)

// RetryPolicy says how often and how late a batch is sent again after an agent
// could not append it: it was overloaded, or its storage failed.
//
// A change of owner and a lost connection are no failures: they are followed
// by as many tries as fit into the delivery timeout, waiting a second at most
// between two.
type RetryPolicy struct {
	// MaxRetries is how often a batch is sent again; 0 means never. Default 5.
	MaxRetries int
	// InitialBackoff is the wait before the first retry. Default 100 ms.
	InitialBackoff time.Duration
	// Multiplier is how much longer every further wait is. Default 2.
	Multiplier float64
	// MaxBackoff limits the wait. Default 30 s.
	MaxBackoff time.Duration
	// Jitter is the part of the wait that is left to chance, from 0 to 1: a
	// wait of 1 s with jitter 0.2 lasts 800 ms to 1 s, never longer. Default
	// 0.2.
	Jitter float64
}

// DefaultRetryPolicy returns the defaults: 5 retries after 100 ms, 200 ms,
// 400 ms, 800 ms and 1.6 s.
func DefaultRetryPolicy() RetryPolicy {
	return RetryPolicy{
		MaxRetries:     5,
		InitialBackoff: 100 * time.Millisecond,
		Multiplier:     2,
		MaxBackoff:     30 * time.Second,
		Jitter:         0.2,
	}
}

// Backoff returns the wait before a retry, counted from 0, without jitter:
// min(InitialBackoff * Multiplier^retry, MaxBackoff).
func (r RetryPolicy) Backoff(retry int) time.Duration {
	wait := float64(r.InitialBackoff) * math.Pow(r.Multiplier, float64(retry))
	if wait >= float64(r.MaxBackoff) {
		return r.MaxBackoff
	}
	return time.Duration(wait)
}

// jittered shortens a wait at random, so that clients do not come in step.
func (r RetryPolicy) jittered(wait time.Duration) time.Duration {
	return wait - time.Duration(r.Jitter*rand.Float64()*float64(wait))
}

// maxRoutingBackoff limits the wait between two tries to find or to reach a
// partition's owner: after a failover nobody should wait much longer than the
// failover took.
const maxRoutingBackoff = time.Second

// routing is the wait before a try, counted from 0, to find or to reach an
// owner.
func (r RetryPolicy) routing(try int) time.Duration {
	return r.jittered(min(r.Backoff(try), maxRoutingBackoff))
}

// problem says in a sentence what is wrong with the policy.
func (r RetryPolicy) problem() string {
	switch {
	case r.MaxRetries < 0:
		return "RetryPolicy.MaxRetries is negative: use 0 for no retries"
	case r.InitialBackoff <= 0:
		return "RetryPolicy.InitialBackoff must be positive: start from DefaultRetryPolicy"
	case !(r.Multiplier >= 1):
		return "RetryPolicy.Multiplier must be at least 1: start from DefaultRetryPolicy"
	case r.MaxBackoff < r.InitialBackoff:
		return "RetryPolicy.MaxBackoff must not be below InitialBackoff"
	case !(r.Jitter >= 0 && r.Jitter <= 1):
		return "RetryPolicy.Jitter must be from 0 to 1"
	default:
		return ""
	}
}
