package producer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// RetryPolicy says how often and how late a batch is sent again after an agent
// could not append it: it was overloaded, or its storage failed. Do follows it
// for calls that the application makes itself.
//
// To a producer, a change of owner and a lost connection are no failures: they are followed
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

// Do calls try until it succeeds, fails with what IsRetryable calls permanent,
// or was called MaxRetries times again. It is for applications that call an
// agent themselves, with the unary Produce say; a Producer needs none of it.
// Every call gets ctx, or what try derives from it to limit a single attempt.
//
// Between two calls it waits as the policy says, or longer if the agent asked
// for that. A permanent failure is returned as it is; when the retries are
// exhausted the last failure is wrapped together with ErrRetriesExhausted, and
// when ctx ends during a wait, together with its cause.
//
// A call that failed may have been carried out all the same. Give Produce a
// producer id and a sequence, and the same bytes every time: then a repeat is
// recognised and answered with the first one's offset.
//
// Unlike a Producer, Do knows nothing of owners: NOT_OWNER counts as a failure
// like others, and it is for try to call the agent that the error's "owner"
// names. The five default retries take 3.1 s; to outlast a failover raise
// MaxRetries, and limit the whole by ctx.
func (r RetryPolicy) Do(ctx context.Context, try func(ctx context.Context) error) error {
	if problem := r.problem(); problem != "" {
		return errors.New(problem)
	}
	for retries := 0; ; retries++ {
		err := try(ctx)
		if err == nil || ctx.Err() != nil || !IsRetryable(err) {
			return err
		}
		if retries >= r.MaxRetries {
			return exhausted(retries, err)
		}
		if !sleep(ctx, r.wait(retries, reason.From(err))) {
			return fmt.Errorf("wait to retry: %w: last error: %w", context.Cause(ctx), err)
		}
	}
}

// IsRetryable tells whether the same request may succeed when it is sent again
// later. Statuses that carry a reason of package reason are judged by it: a
// change of owner (NOT_OWNER, LEASE_EXPIRED, DRAINING, FENCED), failing storage
// and an overloaded agent pass, and so does a gap that an earlier request may
// fill. Others are judged by their code: UNAVAILABLE, DEADLINE_EXCEEDED,
// RESOURCE_EXHAUSTED, INTERNAL, UNKNOWN, ABORTED and CANCELLED are retryable,
// all others are not, and neither is RESOURCE_EXHAUSTED when it is gRPC's own
// "message larger than max".
//
// It does not tell whether the request was carried out: that is the Outcome. A
// record that a Producer failed was retried already. Of such an *Error it says
// whether to send the record again later may succeed and cannot double it. It
// is false for nil, and for errors that are no answer of an agent.
func IsRetryable(err error) bool {
	var failure *Error
	if errors.As(err, &failure) {
		return failure.Outcome == NotDone && mendedByTime(failure.Err)
	}
	return mendedByTime(err)
}

func mendedByTime(err error) bool {
	for _, limit := range []error{ErrBufferFull, ErrDeliveryTimeout, ErrRetriesExhausted, ErrGivenUp} {
		if errors.Is(err, limit) {
			return true
		}
	}
	var answer *reason.Error
	if !errors.As(err, &answer) {
		if s, ok := status.FromError(err); !ok || s.Code() == codes.OK {
			return errors.Is(err, context.DeadlineExceeded)
		}
		answer = reason.From(err)
	}
	switch answer.Recovery() {
	case reason.Retry, reason.Resolve, reason.Resend:
		return true
	default: // Fail, Renew
		return false
	}
}

// wait is how long to wait before a retry, counted from 0, after err.
func (r RetryPolicy) wait(retry int, err *reason.Error) time.Duration {
	return max(r.jittered(r.Backoff(retry)), err.RetryDelay)
}

// exhausted is the error of what was tried once more often than it may be
// retried.
func exhausted(retries int, err error) error {
	return fmt.Errorf("%w after %d: %w", ErrRetriesExhausted, retries, err)
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
