package producer

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// Hedging: a stream whose oldest batch waits far longer than answers take, and
// that says nothing else either, is given up long before the request timeout.
// All that is in flight on it is sent again, the same bytes under the same
// identities, over a fresh connection, or to another agent if the owner has
// changed: both are cures for a connection that carries nothing any more and
// for an agent that stands still. Where neither was the trouble it does no
// harm but for the bytes: the agent answers a repeat once the first copy's
// outcome is known.

var (
	errSilent = &reason.Error{Code: codes.Unavailable, Message: "the agent fell silent"}
	errMoved  = &reason.Error{Code: codes.Unavailable, Message: "the agent fell silent, and the partition has another owner"}
)

const (
	// hedgeFactor times the 99th percentile is far beyond what is usual:
	// commits wait for an object store, whose slowest thousandth takes a few
	// times as long as its slowest hundredth.
	hedgeFactor = 3
	// busyFactor is how much longer a batch may wait on a stream that goes on
	// answering others. The trouble is then hardly the connection's, and the
	// others have to be sent again with it.
	busyFactor = 4
	// hedgesPerSecond is what the budget of hedges gets besides its ratio: a
	// producer that sends little can send one batch again every ten seconds.
	hedgesPerSecond = 0.1
	// maxDoublings limits how much longer a stream is waited for that follows
	// silent ones.
	maxDoublings = 5
)

// patience is how long the stream may be silent while a batch waits. Up to a
// quarter is left to chance, or all producers of a silent agent would come back
// at the same moment.
func (s *stream) patience() time.Duration {
	cfg := &s.link.p.cfg
	p99, known := s.link.p.latency.p99()
	if cfg.hedgeRatio == 0 || !known {
		return cfg.requestTimeout
	}
	usual := max(cfg.hedgeAfter, hedgeFactor*p99)
	return time.Duration(float64(usual) * (1 + s.spread/4))
}

// firstCheck is when a stream is looked at for the first time, before which no
// patience ends.
func (c *config) firstCheck() time.Duration {
	if c.hedgeRatio == 0 {
		return c.requestTimeout
	}
	return min(c.hedgeAfter, c.requestTimeout)
}

// verdict is what is to be thought of a stream by the time that its oldest batch
// in flight has waited.
type verdict uint8

const (
	verdictFine   verdict = iota
	verdictSilent         // longer than is usual: perhaps the owner is another one now
	verdictHedge          // send it again, if the budget allows
	verdictLost           // longer than the request timeout
)

// checkAnswers breaks the stream when a batch in flight has waited too long for
// its answer, or asks for the owners of what waits. Otherwise it comes back
// when one could have.
func (s *stream) checkAnswers() {
	v, inFlight := s.judge(s.patience())
	switch {
	case v == verdictLost:
		s.cancel(errNoAnswer)
	case v == verdictHedge && s.link.p.hedges.trySpend(inFlight):
		s.link.observeHedge(inFlight)
		s.cancel(errSilent)
	case v != verdictFine:
		s.askOwners()
	}
}

// judge also has the timer come back, unless the stream is lost.
func (s *stream) judge(patience time.Duration) (v verdict, inFlight int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.timer == nil {
		return verdictFine, 0
	}
	if inFlight = len(s.mu.inFlight); inFlight == 0 {
		s.mu.timer = nil // the next batch arms another
		return verdictFine, 0
	}
	now := time.Now()
	age := now.Sub(s.oldestLocked(now))
	silence := min(age, now.Sub(s.mu.heard))
	left := s.link.p.cfg.requestTimeout - age
	if left <= 0 {
		return verdictLost, inFlight
	}
	if due := min(patience-silence, busyFactor*patience-age); due > 0 {
		s.mu.timer.Reset(min(due, left))
		return verdictFine, inFlight
	}
	s.mu.timer.Reset(min(patience, left))
	s.mu.suspect = true
	if s.mu.worked || silence >= patience<<s.silences {
		return verdictHedge, inFlight
	}
	return verdictSilent, inFlight // the stream before was no better: do not hurry
}

func (s *stream) oldestLocked(now time.Time) time.Time {
	for _, f := range s.mu.inFlight {
		if f.at.Before(now) {
			now = f.at
		}
	}
	return now
}

// askOwners has the owners of all that waits for an answer looked up.
func (s *stream) askOwners() {
	topics := map[*topic]bool{}
	s.mu.Lock()
	for _, f := range s.mu.inFlight {
		topics[f.batch.part.topic] = true
	}
	s.mu.Unlock()
	for t := range topics {
		t.refresh()
	}
}

// leave tells the link that a partition with batches in flight on it belongs to
// another agent. If the stream is silent, nobody waits for it any longer.
func (l *link) leave() {
	l.mu.Lock()
	s := l.mu.stream
	l.mu.Unlock()
	if s != nil && s.isSuspect() {
		s.cancel(errMoved)
	}
}

func (s *stream) isSuspect() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.suspect
}

// latency estimates the 99th percentile of the time from a batch's first
// transmission to its acknowledgement, over all agents.
//
// It keeps one number, and moves it by each measurement: up by a small part if
// that was longer, down by a 99th of that part if it was shorter. So it rests
// where one in a hundred is longer. It takes
// some hundred measurements to follow a rise, some thousand to follow a fall,
// and a few extreme ones hardly move it.
type latency struct {
	mu       sync.Mutex
	estimate float64 // seconds
	measured int
}

const (
	// latencyStep is the part by which a longer measurement moves the estimate.
	latencyStep = 0.05
	// enoughMeasured is how many measurements it takes to believe it.
	enoughMeasured = 20
)

func (l *latency) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch v := d.Seconds(); {
	case l.measured == 0:
		l.estimate = v
	case v > l.estimate:
		l.estimate *= 1 + latencyStep
	default:
		l.estimate *= 1 - latencyStep/99
	}
	// A first measurement of nothing must not stay so for ever.
	l.estimate = max(l.estimate, time.Millisecond.Seconds())
	l.measured++
}

// p99 returns false while too little was measured.
func (l *latency) p99() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.estimate * float64(time.Second)), l.measured >= enoughMeasured
}
