package producer

import (
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/libs/producer/internal/breaker"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// CircuitBreakerPolicy says when an agent that cannot be reached is left alone.
// Each agent, by address, has a breaker of its own.
//
// What counts as a failure is a connection that cannot be made, a stream that
// breaks, and an answer that does not come within WithRequestTimeout. An agent
// that refuses something is alive, whatever its reason: that counts as a
// success, as every answer does.
//
// While a breaker is open, no stream to the agent is opened, so nobody connects
// for records and nothing is sent; the partitions that are waiting ask for their
// owner again, at least once per second, and go there as soon as there is
// another one. Their delivery timeout goes on. After OpenFor a single stream
// may carry a single batch: its answer closes the breaker, its failure leaves it
// open for OpenFor again.
type CircuitBreakerPolicy struct {
	// Failures is how many there must be in a row, with no answer between them.
	// Default 5: with the default RetryPolicy, 0.7 s after the agent is gone.
	Failures int
	// OpenFor is how long nothing is tried. Default 1 s, the longest wait
	// between two tries without a breaker, so that an agent that comes back is
	// found no later.
	OpenFor time.Duration
}

// DefaultCircuitBreakerPolicy returns the defaults: 5 failures, 1 s.
func DefaultCircuitBreakerPolicy() CircuitBreakerPolicy {
	return CircuitBreakerPolicy{Failures: 5, OpenFor: maxRoutingBackoff}
}

func (c CircuitBreakerPolicy) problem() string {
	switch {
	case c.Failures < 1:
		return "CircuitBreakerPolicy.Failures must be at least 1: start from DefaultCircuitBreakerPolicy"
	case c.OpenFor <= 0:
		return "CircuitBreakerPolicy.OpenFor must be positive: start from DefaultCircuitBreakerPolicy"
	default:
		return ""
	}
}

// ended tells the breaker what the end of a stream says of the agent. Answers
// tell it more, see succeeded.
func (a *agent) ended(cfg *config, err error) {
	switch {
	case err == nil || reason.From(err).Code == codes.Canceled: // it was this side that ended it
		a.breaker.Abandon()
	case !isBroken(err):
		a.succeeded(cfg)
	default:
		a.failed(cfg, err)
	}
}

// failed notes a failure. That probes fail, too, is told to hooks alone: it may
// go on for hours.
func (a *agent) failed(cfg *config, err error) {
	was, opened := a.breaker.Fail()
	if opened {
		a.observeBreaker(cfg, breaker.Open, err)
	}
	if opened && was == breaker.Closed {
		cfg.log.Warn("circuit breaker opened", slog.String("agent", a.address), slog.String("reason", ReasonOf(err)), slog.Any("error", err))
	}
}

// succeeded notes an answer.
func (a *agent) succeeded(cfg *config) {
	if a.breaker.Succeed() {
		a.observeBreaker(cfg, breaker.Closed, nil)
		cfg.log.Info("circuit breaker closed", slog.String("agent", a.address))
	}
}

// isBroken tells whether the agent, or the way to it, does not work. An agent
// that refuses something works.
func isBroken(err error) bool {
	e := reason.From(err)
	if e == errStreamEnded || e.Reason != "" {
		return false
	}
	return e.Code == codes.Unavailable || e.Code == codes.DeadlineExceeded
}
