package producer

import (
	"context"
	"time"
)

// Hooks hear of what a producer does, for metrics, traces and alarms. A hook
// is any value that implements one or more of the interfaces below; WithHooks
// registers it.
//
// Hooks are called by the goroutine in which the event happens, by several at
// once and under no lock of the library. They must be quick, for batches wait
// behind them, and must not call Flush or Close. Events of one kind come in
// their order for one batch; those of several kinds may overtake each other by
// a moment.

// StartHook hears of producers that begin.
type StartHook interface {
	// OnStart is called at the end of New. It is the way to a producer's
	// Stats for hooks that are made before it.
	OnStart(p *Producer)
}

// CloseHook hears of producers that ended.
type CloseHook interface {
	// OnClose is called at the end of the first Close; no other event follows.
	OnClose(p *Producer)
}

// RecordHook follows single records, as tracing does. It costs a copy of every
// record, on the heap; the other hooks are called per batch or more seldom.
type RecordHook interface {
	// OnRecord is called at the beginning of Send and SendAsync, by the caller
	// and with its context. It may change rec, which is a copy, and give it a
	// new slice of Headers: the old one is the caller's. The topic is filled
	// in. What it returns, unless nil, is called once with what became of the
	// record, before the application hears of it.
	OnRecord(ctx context.Context, rec *Record) (done func(Ack, error))
}

// BatchSentHook hears of every transmission of a batch.
type BatchSentHook interface {
	OnBatchSent(e BatchSentEvent)
}

// BatchSentEvent is a batch that is about to be sent to an agent.
type BatchSentEvent struct {
	Topic     string
	Partition uint32
	// Agent is the address to which it goes.
	Agent   string
	Records int
	// Bytes is the batch's size before compression, SentBytes as it is sent;
	// both with its header.
	Bytes, SentBytes int
	// Attempt counts the transmissions of the batch, from 1.
	Attempt int
	// Waited is the time since the batch's first record was taken.
	Waited time.Duration
}

// AnswerHook hears of every answer of an agent to a batch.
type AnswerHook interface {
	OnAnswer(e AnswerEvent)
}

// AnswerEvent is an agent's answer to one transmission of a batch.
type AnswerEvent struct {
	Topic     string
	Partition uint32
	Agent     string
	Records   int
	// Latency is the time since the batch was sent.
	Latency time.Duration
	// Err is nil when the batch was appended, else a *reason.Error. ReasonOf
	// makes a label of it.
	Err error
}

// BatchDoneHook hears of every batch that is resolved.
type BatchDoneHook interface {
	// OnBatchDone is called before the callbacks of the batch's records, in
	// the order of the partition.
	OnBatchDone(e BatchDoneEvent)
}

// BatchDoneEvent is a batch of which it is known what became of it.
type BatchDoneEvent struct {
	Topic     string
	Partition uint32
	Records   int
	// Bytes is what the records counted in the buffer: the most that they
	// take when they are encoded, before compression.
	Bytes int
	// Age is the time since the batch's first record was taken.
	Age     time.Duration
	Outcome Outcome
	// Err is nil when the batch is in the log, else an *Error.
	Err error
}

// RetryHook hears of every batch that will be sent again.
type RetryHook interface {
	OnRetry(e RetryEvent)
}

// RetryEvent is a batch that was not appended, or lost with its connection,
// and will be sent again.
type RetryEvent struct {
	Topic     string
	Partition uint32
	// Agent is the one that did not append it.
	Agent   string
	Records int
	// Attempt counts the transmissions so far.
	Attempt int
	// Err is why, a *reason.Error. ReasonOf makes a label of it.
	Err error
}

// ThrottleHook hears of agents that ask to wait.
type ThrottleHook interface {
	OnThrottle(e ThrottleEvent)
}

// ThrottleEvent is an agent's refusal that asks to wait before the next try,
// as an overloaded one does.
type ThrottleEvent struct {
	Topic     string
	Partition uint32
	Agent     string
	// Delay is what the agent asked for.
	Delay time.Duration
	Err   error
}

// BufferFullHook hears of records that found the buffer full.
type BufferFullHook interface {
	// OnBufferFull is called by Send or SendAsync after the wait.
	OnBufferFull(e BufferFullEvent)
}

// BufferFullEvent is a record that found the buffer full, or its partition's
// share of it.
type BufferFullEvent struct {
	Topic     string
	Partition uint32
	// Waited is how long it waited for room; next to nothing with
	// WithFailWhenFull.
	Waited time.Duration
	// Err is nil when it got room in the end.
	Err error
}

// ConnectHook hears of every attempt to reach an agent.
type ConnectHook interface {
	OnConnect(e ConnectEvent)
}

// ConnectEvent is an attempt to open a stream to an agent, connecting if need
// be.
type ConnectEvent struct {
	Agent string
	// Duration is how long it took.
	Duration time.Duration
	// Err is nil when the stream is open, else a *reason.Error.
	Err error
}

// DisconnectHook hears of every stream to an agent that ended.
type DisconnectHook interface {
	OnDisconnect(e DisconnectEvent)
}

// DisconnectEvent is a stream to an agent that ended.
type DisconnectEvent struct {
	Agent string
	// Lifetime is how long it was open.
	Lifetime time.Duration
	// Err is why, a *reason.Error, or nil if the producer ended it: it was
	// idle, or the producer was closed.
	Err error
}

// BreakerHook hears of agents' circuit breakers.
type BreakerHook interface {
	OnBreakerChange(e BreakerEvent)
}

// BreakerEvent is a change of the breaker that guards an agent, see
// WithCircuitBreaker. An agent of which only a refusal or nothing is learnt by
// the probe is asked again at once, without an event.
type BreakerEvent struct {
	Agent string
	// State is the one that the breaker went into.
	State BreakerState
	// Err is why it opened, a *reason.Error, else nil.
	Err error
}

// BreakerState says whether an agent is sent to.
type BreakerState uint8

// The states of a breaker.
const (
	// BreakerClosed lets everything through, as long as the agent works.
	BreakerClosed BreakerState = iota
	// BreakerHalfOpen lets one probe through after a while.
	BreakerHalfOpen
	// BreakerOpen lets nothing through.
	BreakerOpen
)

// String returns the state in words.
func (s BreakerState) String() string {
	switch s {
	case BreakerHalfOpen:
		return "half-open"
	case BreakerOpen:
		return "open"
	default:
		return "closed"
	}
}

// HedgeHook hears of hedges, see WithHedging.
type HedgeHook interface {
	OnHedge(e HedgeEvent)
}

// HedgeEvent is a stream that is given up because it keeps a batch waiting far
// longer than is usual. What
// is in flight on it is sent again, each batch with a RetryEvent.
type HedgeEvent struct {
	// Agent is the one that does not answer.
	Agent string
	// Batches is how many are in flight.
	Batches int
}
