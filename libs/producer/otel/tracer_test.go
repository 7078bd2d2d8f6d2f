package producerotel_test

import (
	"errors"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/streamhouse/streamhouse/libs/producer"
	producerotel "github.com/streamhouse/streamhouse/libs/producer/otel"
)

// traced returns a provider, what it exports, and a producer that sends to
// agent under a tracer.
func traced(t *testing.T) (*sdk.TracerProvider, *tracetest.InMemoryExporter, *producer.Producer, *agent) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	t.Cleanup(func() { _ = provider.Shutdown(t.Context()) }) // the exporter is memory
	p, a := producing(t, producerotel.NewTracer(provider, propagation.TraceContext{}))
	return provider, exporter, p, a
}

func producing(t *testing.T, tracer *producerotel.Tracer) (*producer.Producer, *agent) {
	t.Helper()
	a := startAgent(t)
	close(a.hold)
	return a.producer(t, producer.WithLinger(0), producer.WithHooks(tracer)), a
}

// stored returns the headers of the records in a topic, by value.
func stored(a *agent, topic string) map[string][]producer.Header {
	found := map[string][]producer.Header{}
	for _, r := range a.Records(topic, 0) {
		found[string(r.Value)] = r.Headers
	}
	return found
}

func value(span tracetest.SpanStub, key attribute.Key) string {
	for _, a := range span.Attributes {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

func TestEveryRecordHasASpanThatItsHeadersCarryOn(t *testing.T) {
	provider, exporter, p, a := traced(t)
	ctx, request := provider.Tracer("test").Start(t.Context(), "request")
	mine := []producer.Header{{Key: "mine", Value: []byte("1")}, {Key: "Traceparent", Value: []byte("of another trace")}}
	if _, err := p.Send(ctx, producer.Record{Value: []byte("first"), Headers: mine}); err != nil {
		t.Fatal(err)
	}
	p.SendAsync(ctx, producer.Record{Value: []byte("second"), Topic: "others"}, nil)
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	request.End()
	spans := exporter.GetSpans()
	if len(spans) != 3 {
		t.Fatalf("%d spans, want 2 and the request's: %v", len(spans), spans)
	}
	for i, c := range []struct{ value, topic, offset string }{{"first", "orders", "0"}, {"second", "others", "0"}} {
		s := spans[i]
		if s.Name != "send "+c.topic || s.SpanKind != trace.SpanKindProducer || s.Parent.SpanID() != request.SpanContext().SpanID() {
			t.Errorf("span %q of kind %v under %v", s.Name, s.SpanKind, s.Parent.SpanID())
		}
		for key, want := range map[attribute.Key]string{
			"messaging.system": "streamhouse", "messaging.operation.name": "send", "messaging.operation.type": "send",
			"messaging.destination.name": c.topic, "messaging.destination.partition.id": "0", "streamhouse.record.offset": c.offset,
			"messaging.message.body.size": fmt.Sprint(len(c.value)), "error.type": "",
		} {
			if got := value(s, key); got != want {
				t.Errorf("%s: %s is %q, want %q", c.value, key, got, want)
			}
		}
		headers := stored(a, c.topic)[c.value]
		parent := fmt.Sprintf("00-%s-%s-01", s.SpanContext.TraceID(), s.SpanContext.SpanID())
		if last := headers[len(headers)-1]; last.Key != "traceparent" || string(last.Value) != parent {
			t.Errorf("%s: the last header is %s: %s, want traceparent: %s", c.value, last.Key, last.Value, parent)
		}
	}
	if h := stored(a, "orders")["first"]; len(h) != 2 || h[0].Key != "mine" {
		t.Errorf("the first record's headers are %v", h)
	}
	if mine[1].Key != "Traceparent" {
		t.Error("the caller's headers were written to")
	}
}

func TestASpanTellsOfFailure(t *testing.T) {
	_, exporter, p, _ := traced(t)
	if _, err := p.Send(t.Context(), producer.Record{Value: make([]byte, 20<<20)}); !errors.Is(err, producer.ErrRecordTooLarge) {
		t.Fatal(err)
	}
	spans := exporter.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans, want 1", len(spans))
	}
	if s := spans[0]; s.Status.Code != codes.Error || value(s, "error.type") != "RECORD_TOO_LARGE" || value(s, "streamhouse.outcome") != "not_done" {
		t.Errorf("status %+v, attributes %v", s.Status, s.Attributes)
	}
}

// Without a provider of its own, a process still passes a trace on.
func TestATraceIsCarriedWithoutRecording(t *testing.T) {
	p, a := producing(t, producerotel.NewTracer(noop.NewTracerProvider(), propagation.TraceContext{}))
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	ctx := trace.ContextWithSpanContext(t.Context(), remote)
	if _, err := p.Send(ctx, producer.Record{Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	want := "00-01000000000000000000000000000000-0200000000000000-01"
	if h := stored(a, "orders")["x"]; len(h) != 1 || string(h[0].Value) != want {
		t.Errorf("headers are %v, want a traceparent of %s", h, want)
	}
}
