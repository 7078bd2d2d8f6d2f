// Package breaker is a circuit breaker for one agent.
//
// It is asked before a stream is opened, and told of every answer and every
// stream that broke. Streams carry many requests and live long, so that what is
// counted is not one outcome per question, and those that are refused want to
// know how long: libraries offer neither.
package breaker

import (
	"sync"
	"sync/atomic"
	"time"
)

// State is what a breaker lets through.
type State uint8

// The states.
const (
	Closed   State = iota // everything
	Open                  // nothing, for a while
	HalfOpen              // one probe
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	default:
		return "half-open"
	}
}

// Breaker opens after a number of failures without a success between them. It
// is safe for concurrent use.
type Breaker struct {
	limit   int
	openFor time.Duration

	// clean: closed, and the latest that happened was no failure. It keeps
	// successes from taking the lock.
	clean atomic.Bool

	mu struct {
		sync.Mutex
		state    State
		failures int
		until    time.Time // while open
	}
}

// New makes a closed breaker that opens at the failure with that number, each
// time for openFor.
func New(failures int, openFor time.Duration) *Breaker {
	b := &Breaker{limit: failures, openFor: openFor}
	b.clean.Store(true)
	return b
}

// Allow tells whether to go on. In state HalfOpen the caller is the probe, and
// must report one of Succeed, Fail and Abandon. If not, wait is when to ask
// again at the latest; until then a success may come.
func (b *Breaker) Allow() (state State, wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.mu.state {
	case Closed:
		return Closed, 0, true
	case HalfOpen:
		return HalfOpen, b.openFor, false
	default:
		if wait := time.Until(b.mu.until); wait > 0 {
			return Open, wait, false
		}
		b.mu.state = HalfOpen
		return HalfOpen, 0, true
	}
}

// Succeed notes a sign of life. It tells whether that closed the breaker.
func (b *Breaker) Succeed() bool {
	if b.clean.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.mu.state
	b.mu.state, b.mu.failures = Closed, 0
	b.clean.Store(true)
	return was != Closed
}

// Fail notes a failure. It tells whether that opened the breaker, and what it
// was before.
func (b *Breaker) Fail() (was State, opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clean.Store(false)
	b.mu.failures++
	was = b.mu.state
	switch {
	case was == Open: // what was sent before it opened does not prolong it
		return was, false
	case was == Closed && b.mu.failures < b.limit:
		return was, false
	}
	b.mu.state, b.mu.until = Open, time.Now().Add(b.openFor)
	return was, true
}

// Abandon ends a probe that has learnt nothing. Another one may follow at once.
func (b *Breaker) Abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.state == HalfOpen {
		b.mu.state, b.mu.until = Open, time.Now()
	}
}

// State returns what the breaker would let through now.
func (b *Breaker) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.state
}
