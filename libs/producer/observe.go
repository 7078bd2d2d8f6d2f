package producer

import (
	"context"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer/internal/breaker"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// What a batch tells hooks is read before its partition hears the same: from
// then on the batch may be delivered, reused and another one's.

func (b *recordBatch) sentEvent(agent string) BatchSentEvent {
	return BatchSentEvent{
		Topic: b.part.topic.name, Partition: b.part.index, Agent: agent, Records: len(b.callbacks),
		Bytes: b.builder.Size(), SentBytes: len(b.data), Attempt: b.sends, Waited: time.Since(b.born),
	}
}

func (b *recordBatch) doneEvent() BatchDoneEvent {
	e := BatchDoneEvent{
		Topic: b.part.topic.name, Partition: b.part.index, Records: len(b.callbacks),
		Bytes: b.bytes, Age: time.Since(b.born), Outcome: Done,
	}
	if b.err != nil {
		e.Outcome, e.Err = b.err.Outcome, b.err
	}
	return e
}

// observeAnswer tells hooks of an answer, and returns what there is to tell if
// the batch will be sent again.
func (l *link) observeAnswer(f sent, err *reason.Error) RetryEvent {
	pt := f.batch.part
	for _, h := range l.p.cfg.hooks.answer {
		e := AnswerEvent{Topic: pt.topic.name, Partition: pt.index, Agent: l.agent.address, Records: len(f.batch.callbacks), Latency: time.Since(f.at)}
		if err != nil {
			e.Err = err
		}
		h.OnAnswer(e)
	}
	if err == nil {
		return RetryEvent{}
	}
	if err.RetryDelay > 0 {
		for _, h := range l.p.cfg.hooks.throttle {
			h.OnThrottle(ThrottleEvent{Topic: pt.topic.name, Partition: pt.index, Agent: l.agent.address, Delay: err.RetryDelay, Err: err})
		}
	}
	return l.retryEvent(f.batch, err)
}

// retryEvent is read from a batch that is in flight.
func (l *link) retryEvent(b *recordBatch, err *reason.Error) RetryEvent {
	return RetryEvent{
		Topic: b.part.topic.name, Partition: b.part.index, Agent: l.agent.address,
		Records: len(b.callbacks), Attempt: b.sends, Err: err,
	}
}

func (l *link) observeRetry(e RetryEvent) {
	for _, h := range l.p.cfg.hooks.retry {
		h.OnRetry(e)
	}
}

func (l *link) observeConnect(began time.Time, err error) {
	for _, h := range l.p.cfg.hooks.connect {
		h.OnConnect(ConnectEvent{Agent: l.agent.address, Duration: time.Since(began), Err: asReason(err)})
	}
}

func (l *link) observeHedge(batches int) {
	for _, h := range l.p.cfg.hooks.hedge {
		h.OnHedge(HedgeEvent{Agent: l.agent.address, Batches: batches})
	}
}

// observeDisconnect: what ended on purpose is no error.
func (l *link) observeDisconnect(opened time.Time, err error) {
	for _, h := range l.p.cfg.hooks.disconnect {
		h.OnDisconnect(DisconnectEvent{Agent: l.agent.address, Lifetime: time.Since(opened), Err: asReason(err)})
	}
}

func (a *agent) observeBreaker(cfg *config, s breaker.State, err error) {
	for _, h := range cfg.hooks.breaker {
		h.OnBreakerChange(BreakerEvent{Agent: a.address, State: breakerState(s), Err: asReason(err)})
	}
}

func breakerState(s breaker.State) BreakerState {
	switch s {
	case breaker.Open:
		return BreakerOpen
	case breaker.HalfOpen:
		return BreakerHalfOpen
	default:
		return BreakerClosed
	}
}

// asReason keeps nil a nil error.
func asReason(err error) error {
	if err == nil {
		return nil
	}
	return reason.From(err)
}

// submitFollowed submits a copy of a record and has hooks follow it.
func (p *Producer) submitFollowed(ctx context.Context, rec Record, done func(Ack, error), async bool) error {
	rec.Topic = p.nameOf(&rec)
	var ends []func(Ack, error)
	for _, h := range p.cfg.hooks.record {
		if end := h.OnRecord(ctx, &rec); end != nil {
			ends = append(ends, end)
		}
	}
	if len(ends) == 0 {
		return p.place(ctx, &rec, done, async)
	}
	tell := func(ack Ack, err error) {
		for _, end := range ends {
			end(ack, err)
		}
	}
	err := p.place(ctx, &rec, func(ack Ack, err error) {
		tell(ack, err)
		if done != nil {
			done(ack, err)
		}
	}, async)
	if err != nil {
		tell(Ack{}, err)
	}
	return err
}
