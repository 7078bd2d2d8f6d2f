package producerprom

import "github.com/streamhouse/streamhouse/libs/producer"

// outcome is the label of an outcome.
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

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

func reasonOrOK(err error) string {
	if err == nil {
		return "OK"
	}
	return producer.ReasonOf(err)
}

// OnStart begins to show the producer's gauges.
func (m *Metrics) OnStart(p *producer.Producer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.producers[p] = struct{}{}
}

// OnClose ends it.
func (m *Metrics) OnClose(p *producer.Producer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.producers, p)
}

// OnBatchSent counts bytes and, the first time, the batch's sizes.
func (m *Metrics) OnBatchSent(e producer.BatchSentEvent) {
	m.sentBytes.WithLabelValues(e.Topic).Add(float64(e.SentBytes))
	if e.Attempt == 1 {
		m.batchRecords.WithLabelValues().Observe(float64(e.Records))
		m.batchBytes.WithLabelValues().Observe(float64(e.Bytes))
		m.batchSentBytes.WithLabelValues().Observe(float64(e.SentBytes))
	}
}

// OnAnswer measures a request.
func (m *Metrics) OnAnswer(e producer.AnswerEvent) {
	m.requestDuration.WithLabelValues(result(e.Err)).Observe(e.Latency.Seconds())
}

// OnBatchDone counts what became of a batch.
func (m *Metrics) OnBatchDone(e producer.BatchDoneEvent) {
	o := outcome(e.Outcome)
	m.records.WithLabelValues(e.Topic, o).Add(float64(e.Records))
	m.recordBytes.WithLabelValues(e.Topic, o).Add(float64(e.Bytes))
	m.batches.WithLabelValues(e.Topic, o).Inc()
	m.deliveryDuration.WithLabelValues(o).Observe(e.Age.Seconds())
	if e.Err != nil {
		m.failedRecords.WithLabelValues(producer.ReasonOf(e.Err)).Add(float64(e.Records))
	}
}

// OnRetry counts a retry.
func (m *Metrics) OnRetry(e producer.RetryEvent) {
	m.retries.WithLabelValues(producer.ReasonOf(e.Err)).Inc()
}

// OnThrottle counts an answer that asked to wait.
func (m *Metrics) OnThrottle(e producer.ThrottleEvent) {
	m.throttles.WithLabelValues(producer.ReasonOf(e.Err)).Inc()
}

// OnHedge counts a hedge.
func (m *Metrics) OnHedge(producer.HedgeEvent) { m.hedges.WithLabelValues().Inc() }

// OnBreakerChange counts a change of a circuit breaker.
func (m *Metrics) OnBreakerChange(e producer.BreakerEvent) {
	m.breakerChanges.WithLabelValues(e.State.String()).Inc()
}

// OnConnect measures an attempt to reach an agent.
func (m *Metrics) OnConnect(e producer.ConnectEvent) {
	m.connects.WithLabelValues(reasonOrOK(e.Err)).Inc()
	m.connectDuration.WithLabelValues(result(e.Err)).Observe(e.Duration.Seconds())
}

// OnDisconnect counts the end of a stream.
func (m *Metrics) OnDisconnect(e producer.DisconnectEvent) {
	m.disconnects.WithLabelValues(reasonOrOK(e.Err)).Inc()
}

// OnBufferFull measures a record's wait for room.
func (m *Metrics) OnBufferFull(e producer.BufferFullEvent) {
	m.bufferWait.WithLabelValues(result(e.Err)).Observe(e.Waited.Seconds())
}
