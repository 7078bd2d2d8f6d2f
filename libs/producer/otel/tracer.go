package producerotel

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// Tracer is a hook for producer.WithHooks that makes a span for every record
// and carries its trace in the record's headers. It is safe for concurrent use
// and serves any number of producers.
type Tracer struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

// NewTracer makes one. Nil stands for the global provider and the global
// propagator, as they are now. The global propagator carries nothing unless the
// application sets one, such as propagation.TraceContext{}.
func NewTracer(provider trace.TracerProvider, propagator propagation.TextMapPropagator) *Tracer {
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	if propagator == nil {
		propagator = otel.GetTextMapPropagator()
	}
	return &Tracer{tracer: provider.Tracer(scope), propagator: propagator}
}

// OnRecord begins a record's span. A header that the propagator writes replaces
// those of the same name.
func (t *Tracer) OnRecord(ctx context.Context, rec *producer.Record) func(producer.Ack, error) {
	attrs := append(send(rec.Topic), bodySizeKey.Int(len(rec.Value)))
	ctx, span := t.tracer.Start(ctx, "send "+rec.Topic, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attrs...))
	t.propagator.Inject(ctx, carrier{rec})
	if !span.IsRecording() {
		span.End()
		return nil
	}
	return func(ack producer.Ack, err error) { end(span, ack, err) }
}

func end(span trace.Span, ack producer.Ack, err error) {
	defer span.End()
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(errorKey.String(producer.ReasonOf(err)), outcomeKey.String(outcome(producer.OutcomeOf(err))))
		return
	}
	span.SetAttributes(partitionKey.String(strconv.Itoa(int(ack.Partition))), offsetKey.Int64(int64(ack.Offset)))
}

// carrier writes to a record's headers and leaves the caller's slice alone. As
// propagators expect, names are compared without case.
type carrier struct{ rec *producer.Record }

// Get returns the first value under a name.
func (c carrier) Get(name string) string {
	for _, h := range c.rec.Headers {
		if strings.EqualFold(h.Key, name) {
			return string(h.Value)
		}
	}
	return ""
}

// Set makes a value the only one under a name.
func (c carrier) Set(name, value string) {
	c.rec.Headers = slices.DeleteFunc(slices.Clone(c.rec.Headers), func(h producer.Header) bool {
		return strings.EqualFold(h.Key, name)
	})
	c.rec.Headers = append(c.rec.Headers, producer.Header{Key: name, Value: []byte(value)})
}

// Keys returns all names.
func (c carrier) Keys() []string {
	names := make([]string, len(c.rec.Headers))
	for i, h := range c.rec.Headers {
		names[i] = h.Key
	}
	return names
}
