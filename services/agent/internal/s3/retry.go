package s3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
)

// limits are those of one kind of call.
type limits struct {
	// attempts bounds the requests of one call.
	attempts int
	// timeout bounds one attempt; perMiB is added for each MiB that it moves.
	timeout, perMiB time.Duration
}

// A PUT has few attempts: the caller tries again as well, under another key.
// The slowest link that still does is one of 512 KiB/s.
var (
	putLimits    = limits{attempts: 3, timeout: 5 * time.Second, perMiB: 2 * time.Second}
	getLimits    = limits{attempts: 4, timeout: 5 * time.Second, perMiB: 2 * time.Second}
	listLimits   = limits{attempts: 4, timeout: 15 * time.Second}
	deleteLimits = limits{attempts: 4, timeout: 15 * time.Second}
)

// Pauses between attempts double from the first to the last; a request that S3
// asked to slow down waits longer.
const (
	firstPause     = 50 * time.Millisecond
	firstSlowPause = 250 * time.Millisecond
	maxPause       = 2 * time.Second
)

// policy carries out the calls of one kind. S3 throttles reads and writes on
// their own, so each kind has a policy and a pace of its own.
type policy struct {
	limits
	pace pace
	// retryer says what may be tried again, and bounds the share of retries
	// while everything fails.
	retryer *retry.Standard
}

func newPolicy(l limits) *policy {
	return &policy{limits: l, retryer: retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(pause)
		o.Retryables = append(o.Retryables, retry.RetryableErrorCode{Codes: again}, retry.IsErrorRetryableFunc(unreadable))
	})}
}

// again are answers that may be another one the next time, beside those that
// the SDK knows.
var again = map[string]struct{}{
	// A conditional PUT met another one of the same key on its way.
	"ConditionalRequestConflict": {},
	"OperationAborted":           {},
	// One object of many, in an answer whose status is 200.
	"InternalError":      {},
	"ServiceUnavailable": {},
}

// unreadable says that an answer broke off, or is none of S3's.
func unreadable(err error) aws.Ternary {
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

var throttles = retry.IsErrorThrottles(retry.DefaultThrottles)

// pause returns half to all of what doubles with each attempt.
func pause(attempt int, err error) (time.Duration, error) {
	most := firstPause
	if throttles.IsErrorThrottle(err).Bool() {
		most = firstSlowPause
	}
	most = min(most<<min(max(attempt-1, 0), 10), maxPause)
	return most/2 + rand.N(most/2), nil
}

// do calls until an attempt succeeds or fails for good, or ctx ends. size is
// how many bytes an attempt moves.
func (p *policy) do(ctx context.Context, size int64, call func(context.Context) error) error {
	timeout := p.timeout + time.Duration(float64(size)/(1<<20)*float64(p.perMiB))
	release := func(error) error { return nil }
	for attempt := 1; ; attempt++ {
		err := p.once(ctx, timeout, call)
		_ = release(err) // the SDK's own never fails
		if err == nil || ctx.Err() != nil || attempt == p.attempts || !p.retryer.IsErrorRetryable(err) {
			return err
		}
		if release, _ = p.retryer.GetRetryToken(ctx, err); release == nil {
			return fmt.Errorf("too many requests fail to try this one again: %w", err)
		}
		delay, _ := p.retryer.RetryDelay(attempt, err) // pause never fails
		select {
		case <-ctx.Done():
			return err
		case <-time.After(delay):
		}
	}
}

// once makes an attempt when the pace allows it.
func (p *policy) once(ctx context.Context, timeout time.Duration, call func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	release, err := p.retryer.GetAttemptToken(ctx)
	if err != nil {
		return err
	}
	if err := p.pace.wait(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err = call(limited); err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = &timeoutError{after: timeout}
	}
	if throttled := throttles.IsErrorThrottle(err).Bool(); throttled || err == nil {
		p.pace.answered(throttled)
	}
	_ = release(err) // the SDK's own never fails
	return err
}

// timeoutError ends an attempt, not the call: it is no context's error.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("no answer within %s", e.after) }

// RetryableError is asked for by the retryer.
func (e *timeoutError) RetryableError() bool { return true }
