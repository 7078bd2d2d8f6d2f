package producer

import (
	"log/slog"
	"sync"
	"time"
)

// What repeats while an agent is away is logged at once the first time, and
// then once in logInterval with how often it was left out: an outage is a
// handful of lines, not one for every batch or try.
const logInterval = 10 * time.Second

// logGate lets one line through per interval. Its zero value is ready.
type logGate struct {
	mu      sync.Mutex
	next    time.Time
	skipped int
}

// pass tells whether to log now, and how many lines were left out before.
func (g *logGate) pass() (skipped int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if now.Before(g.next) {
		g.skipped++
		return 0, false
	}
	skipped, g.skipped, g.next = g.skipped, 0, now.Add(logInterval)
	return skipped, true
}

// lostLog tells of an agent that is lost and reached again. It belongs to the
// link's goroutine.
type lostLog struct {
	gate  logGate
	since time.Time // when the loss was logged; zero while there is nothing to take back
	tries int
}

func (o *lostLog) lost(log *slog.Logger, agent string, err error) {
	o.tries++
	if skipped, ok := o.gate.pass(); ok {
		if o.since.IsZero() {
			o.since, o.tries = time.Now(), 1
		}
		log.Warn("stream to agent lost", slog.String("agent", agent), slog.String("reason", ReasonOf(err)), slog.Any("error", err),
			slog.Int("tries", o.tries), slog.Int("skipped", skipped))
	}
}

func (o *lostLog) reached(log *slog.Logger, agent string) {
	if !o.since.IsZero() {
		log.Info("agent reached again", slog.String("agent", agent), slog.Duration("after", time.Since(o.since)), slog.Int("tries", o.tries))
		o.since = time.Time{}
	}
}

func (l *link) logStranger(requestID uint64) {
	if skipped, ok := l.odd.pass(); ok {
		l.p.cfg.log.Warn("answer to an unknown request", slog.String("agent", l.agent.address), slog.Uint64("request_id", requestID), slog.Int("skipped", skipped))
	}
}

func (p *Producer) logFailure(b *recordBatch) {
	if skipped, ok := b.part.topic.failed.pass(); ok {
		p.cfg.log.Warn("batch failed", slog.String("topic", b.err.Topic), slog.Int("partition", int(b.err.Partition)),
			slog.Int("records", len(b.callbacks)), slog.String("outcome", b.err.Outcome.String()), slog.String("reason", ReasonOf(b.err)),
			slog.Any("error", b.err.Err), slog.Int("skipped", skipped))
	}
}

func (p *Producer) logLookup(gate *logGate, name string, err error) {
	if skipped, ok := gate.pass(); ok {
		p.cfg.log.Warn("topic could not be described", slog.String("topic", name), slog.String("reason", ReasonOf(err)),
			slog.Any("error", err), slog.Int("skipped", skipped))
	}
}
