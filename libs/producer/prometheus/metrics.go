package producerprom

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamhouse/streamhouse/libs/producer"
)

const (
	namespace = "streamhouse"
	subsystem = "producer"
)

// Metrics is a hook for producer.WithHooks and a prometheus.Collector. It is
// safe for concurrent use.
type Metrics struct {
	records, recordBytes, batches, failedRecords, sentBytes, retries, throttles,
	hedges, breakerChanges, connects, disconnects *prometheus.CounterVec

	requestDuration, deliveryDuration, connectDuration, bufferWait,
	batchRecords, batchBytes, batchSentBytes *prometheus.HistogramVec

	events []prometheus.Collector // all of the above

	mu        sync.Mutex
	producers map[*producer.Producer]struct{}
}

// Buckets for times and sizes. A commit takes some 100 ms and a delivery at
// most the delivery timeout, 2 minutes by default.
var (
	seconds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120}
	records = prometheus.ExponentialBuckets(1, 4, 9)   // 1 to 65,536
	sizes   = prometheus.ExponentialBuckets(256, 4, 9) // 256 bytes to 16 MiB, the largest batch
)

// New makes the metrics. Register them, and give them to producer.WithHooks.
func New() *Metrics {
	m := &Metrics{producers: map[*producer.Producer]struct{}{}}
	m.records = m.counter("records_total", "Records resolved.", "topic", "outcome")
	m.recordBytes = m.counter("record_bytes_total", "Encoded size of the records resolved, before compression.", "topic", "outcome")
	m.batches = m.counter("batches_total", "Batches resolved.", "topic", "outcome")
	m.failedRecords = m.counter("failed_records_total", "Records whose batch failed, by reason.", "reason")
	m.sentBytes = m.counter("sent_bytes_total", "Bytes of batches as they were sent, repeats included.", "topic")
	m.retries = m.counter("retries_total", "Batches that were sent again, by reason.", "reason")
	m.throttles = m.counter("throttles_total", "Answers of agents that asked to wait, by reason.", "reason")
	m.hedges = m.counter("hedges_total", "Streams given up for a late answer, whose batches were sent again.")
	m.breakerChanges = m.counter("breaker_changes_total", "Circuit breakers that went into the state.", "state")
	m.connects = m.counter("connects_total", "Attempts to reach an agent, by reason of failure, OK if it worked.", "reason")
	m.disconnects = m.counter("disconnects_total", "Streams that ended, by reason, OK if on purpose.", "reason")
	m.requestDuration = m.histogram("request_duration_seconds", "From sending a batch to the agent's answer.", seconds, "result")
	m.deliveryDuration = m.histogram("delivery_duration_seconds", "From a batch's first record to its outcome.", seconds, "outcome")
	m.connectDuration = m.histogram("connect_duration_seconds", "Attempts to reach an agent.", seconds, "result")
	m.bufferWait = m.histogram("buffer_wait_seconds", "Waits of records that found the buffer full.", seconds, "result")
	m.batchRecords = m.histogram("batch_records", "Records per batch.", records)
	m.batchBytes = m.histogram("batch_bytes", "Size per batch, before compression.", sizes)
	m.batchSentBytes = m.histogram("batch_sent_bytes", "Size per batch, as sent.", sizes)
	return m
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help,
	}, labels)
	m.events = append(m.events, c)
	return c
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets,
		// Each native bucket is at most 10 % wider than the one before.
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
	}, labels)
	m.events = append(m.events, h)
	return h
}
