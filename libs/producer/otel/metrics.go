package producerotel

import (
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// scope names this package as the source of metrics and spans.
const scope = "github.com/streamhouse/streamhouse/libs/producer/otel"

const prefix = "streamhouse.producer."

// Attributes, named as OpenTelemetry's conventions do where they have a name.
const (
	systemKey    = attribute.Key("messaging.system")
	operationKey = attribute.Key("messaging.operation.name")
	typeKey      = attribute.Key("messaging.operation.type")
	topicKey     = attribute.Key("messaging.destination.name")
	partitionKey = attribute.Key("messaging.destination.partition.id")
	bodySizeKey  = attribute.Key("messaging.message.body.size")
	offsetKey    = attribute.Key("streamhouse.record.offset")
	errorKey     = attribute.Key("error.type")
	agentKey     = attribute.Key("server.address")
	outcomeKey   = attribute.Key("streamhouse.outcome")
	stateKey     = attribute.Key("streamhouse.breaker.state")

	connectionKey = attribute.Key("streamhouse.connection.state")
)

// ofSend are the attributes that OpenTelemetry asks for with every send.
var ofSend = []attribute.KeyValue{
	systemKey.String("streamhouse"), operationKey.String("send"), typeKey.String("send"),
}

// Metrics is a hook for producer.WithHooks. One serves any number of
// producers, and adds them up. It is safe for concurrent use.
type Metrics struct {
	sentMessages, records, sentBytes, retries, throttles, hedges, breakerChanges, disconnects metric.Int64Counter

	operationDuration, deliveryDuration, connectDuration, bufferWait metric.Float64Histogram
	batchRecords, batchSize, batchSentSize                           metric.Int64Histogram

	meter    metric.Meter
	observed observed

	mu struct {
		sync.Mutex
		producers map[*producer.Producer]struct{}
	}
	// registering is held while the meter registers, which waits for a
	// collection that is under way; observe never takes it, so that the
	// collection ends.
	registering sync.Mutex
	callback    metric.Registration // while there are producers
}

// Buckets for times and sizes. A commit takes some 100 ms and a delivery at
// most the delivery timeout, 2 minutes by default.
var (
	seconds = metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
	counts  = metric.WithExplicitBucketBoundaries(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
	sizes   = metric.WithExplicitBucketBoundaries(256, 1<<10, 4<<10, 16<<10, 64<<10, 256<<10, 1<<20, 4<<20, 16<<20)
)

// NewMetrics makes the instruments. Nil stands for the global provider. It
// fails only if the provider refuses an instrument.
func NewMetrics(provider metric.MeterProvider) (*Metrics, error) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	m := &Metrics{meter: provider.Meter(scope)}
	m.mu.producers = map[*producer.Producer]struct{}{}
	in := instruments{meter: m.meter}
	m.sentMessages = in.counter("messaging.client.sent.messages", "{message}", "Records resolved.")
	m.operationDuration = in.seconds("messaging.client.operation.duration", "From sending a batch to the agent's answer.")
	m.deliveryDuration = in.seconds(prefix+"delivery.duration", "From a batch's first record to its outcome.")
	m.batchRecords = in.histogram(prefix+"batch.records", "{record}", "Records per batch.", counts)
	m.batchSize = in.histogram(prefix+"batch.size", "By", "Size per batch, before compression.", sizes)
	m.batchSentSize = in.histogram(prefix+"batch.sent.size", "By", "Size per batch, as sent.", sizes)
	m.records = in.counter(prefix+"records", "{record}", "Records resolved, by outcome.")
	m.sentBytes = in.counter(prefix+"sent.bytes", "By", "Batches as they were sent, repeats included.")
	m.retries = in.counter(prefix+"retries", "{batch}", "Batches that were sent again.")
	m.throttles = in.counter(prefix+"throttles", "{answer}", "Answers of agents that asked to wait.")
	m.hedges = in.counter(prefix+"hedges", "{stream}", "Streams given up for a late answer, whose batches were sent again.")
	m.breakerChanges = in.counter(prefix+"breaker.changes", "{change}", "Circuit breakers that went into the state.")
	m.connectDuration = in.seconds(prefix+"connect.duration", "Attempts to reach an agent.")
	m.disconnects = in.counter(prefix+"disconnects", "{stream}", "Streams to agents that ended.")
	m.bufferWait = in.seconds(prefix+"buffer.wait.duration", "Waits of records that found the buffer full.")
	m.observed = in.observed()
	if len(in.errs) > 0 {
		return nil, fmt.Errorf("make instruments: %w", errors.Join(in.errs...))
	}
	return m, nil
}

// instruments makes them and collects errors.
type instruments struct {
	meter metric.Meter
	errs  []error
}

func (in *instruments) note(err error) {
	if err != nil {
		in.errs = append(in.errs, err)
	}
}

func (in *instruments) counter(name, unit, what string) metric.Int64Counter {
	c, err := in.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(what))
	in.note(err)
	return c
}

func (in *instruments) seconds(name, what string) metric.Float64Histogram {
	h, err := in.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(what), seconds)
	in.note(err)
	return h
}

func (in *instruments) histogram(name, unit, what string, buckets metric.HistogramOption) metric.Int64Histogram {
	h, err := in.meter.Int64Histogram(name, metric.WithUnit(unit), metric.WithDescription(what), buckets)
	in.note(err)
	return h
}
