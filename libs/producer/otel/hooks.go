package producerotel

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// Batches hold records of many requests, so no request's context goes with
// their measurements.
var background = context.Background()

func outcome(o producer.Outcome) string {
	switch o {
	case producer.Done:
		return "done"
	case producer.NotDone:
		return "not_done"
	default:
		return "unknown"
	}
}

// withError adds error.type where there is an error.
func withError(err error, attrs ...attribute.KeyValue) metric.MeasurementOption {
	if err != nil {
		attrs = append(attrs, errorKey.String(producer.ReasonOf(err)))
	}
	return metric.WithAttributes(attrs...)
}

// send are the attributes of a send to a topic.
func send(topic string) []attribute.KeyValue {
	return append(slices.Clip(ofSend), topicKey.String(topic))
}

// OnStart begins to observe the producer.
func (m *Metrics) OnStart(p *producer.Producer) {
	m.mu.Lock()
	m.mu.producers[p] = struct{}{}
	m.mu.Unlock()
	m.follow()
}

// OnClose ends it.
func (m *Metrics) OnClose(p *producer.Producer) {
	m.mu.Lock()
	delete(m.mu.producers, p)
	m.mu.Unlock()
	m.follow()
}

// OnBatchSent counts bytes and, the first time, the batch's sizes.
func (m *Metrics) OnBatchSent(e producer.BatchSentEvent) {
	m.sentBytes.Add(background, int64(e.SentBytes), metric.WithAttributes(topicKey.String(e.Topic)))
	if e.Attempt == 1 {
		m.batchRecords.Record(background, int64(e.Records))
		m.batchSize.Record(background, int64(e.Bytes))
		m.batchSentSize.Record(background, int64(e.SentBytes))
	}
}

// OnAnswer measures a request.
func (m *Metrics) OnAnswer(e producer.AnswerEvent) {
	m.operationDuration.Record(background, e.Latency.Seconds(), withError(e.Err, send(e.Topic)...))
}

// OnBatchDone counts what became of a batch.
func (m *Metrics) OnBatchDone(e producer.BatchDoneEvent) {
	o := outcomeKey.String(outcome(e.Outcome))
	m.sentMessages.Add(background, int64(e.Records), withError(e.Err, send(e.Topic)...))
	m.records.Add(background, int64(e.Records), metric.WithAttributes(topicKey.String(e.Topic), o))
	m.deliveryDuration.Record(background, e.Age.Seconds(), metric.WithAttributes(o))
}

// OnRetry counts a retry.
func (m *Metrics) OnRetry(e producer.RetryEvent) { m.retries.Add(background, 1, withError(e.Err)) }

// OnThrottle counts an answer that asked to wait.
func (m *Metrics) OnThrottle(e producer.ThrottleEvent) {
	m.throttles.Add(background, 1, withError(e.Err))
}

// OnHedge counts a hedge.
func (m *Metrics) OnHedge(producer.HedgeEvent) { m.hedges.Add(background, 1) }

// OnBreakerChange counts a change of a circuit breaker.
func (m *Metrics) OnBreakerChange(e producer.BreakerEvent) {
	m.breakerChanges.Add(background, 1, metric.WithAttributes(stateKey.String(e.State.String())))
}

// OnConnect measures an attempt to reach an agent.
func (m *Metrics) OnConnect(e producer.ConnectEvent) {
	m.connectDuration.Record(background, e.Duration.Seconds(), withError(e.Err))
}

// OnDisconnect counts the end of a stream.
func (m *Metrics) OnDisconnect(e producer.DisconnectEvent) {
	m.disconnects.Add(background, 1, withError(e.Err))
}

// OnBufferFull measures a record's wait for room.
func (m *Metrics) OnBufferFull(e producer.BufferFullEvent) {
	m.bufferWait.Record(background, e.Waited.Seconds(), withError(e.Err))
}

// follow has the meter ask for what is observed as long as there are
// producers, so that one that is closed is not kept for ever.
func (m *Metrics) follow() {
	m.registering.Lock()
	defer m.registering.Unlock()
	var err error
	switch live := len(m.producers()) > 0; {
	case live && m.callback == nil:
		m.callback, err = m.meter.RegisterCallback(m.observe, m.observed.all()...)
	case !live && m.callback != nil:
		err = m.callback.Unregister()
		m.callback = nil
	}
	if err != nil {
		otel.Handle(err)
	}
}
