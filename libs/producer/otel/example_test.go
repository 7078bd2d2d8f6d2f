package producerotel_test

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/streamhouse/streamhouse/libs/producer"
	producerotel "github.com/streamhouse/streamhouse/libs/producer/otel"
)

// Metrics and traces, through the providers that the application has set.
func Example() {
	otel.SetTextMapPropagator(propagation.TraceContext{}) // the application does so once
	metrics, err := producerotel.NewMetrics(otel.GetMeterProvider())
	if err != nil {
		otel.Handle(err)
		return
	}
	tracer := producerotel.NewTracer(otel.GetTracerProvider(), otel.GetTextMapPropagator())
	p, err := producer.New(context.Background(), "localhost:7070", producer.WithHooks(metrics, tracer))
	_, _ = p, err
}

// Carry the caller's trace in the headers and do nothing else.
func ExampleNewTracer() {
	tracer := producerotel.NewTracer(nil, propagation.TraceContext{})
	p, err := producer.New(context.Background(), "localhost:7070", producer.WithHooks(tracer))
	_, _ = p, err
}
