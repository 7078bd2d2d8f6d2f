package producerprom_test

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamhouse/streamhouse/libs/producer"
	producerprom "github.com/streamhouse/streamhouse/libs/producer/prometheus"
)

// Show a producer's metrics under the process's others.
func Example() {
	metrics := producerprom.New()
	prometheus.MustRegister(metrics)
	p, err := producer.New(context.Background(), "localhost:7070", producer.WithHooks(metrics))
	_, _ = p, err
}

// Tell two producers apart by a label.
func ExampleNew_labels() {
	for _, name := range []string{"billing", "audit"} {
		metrics := producerprom.New()
		prometheus.WrapRegistererWith(prometheus.Labels{"producer": name}, prometheus.DefaultRegisterer).MustRegister(metrics)
		p, err := producer.New(context.Background(), "localhost:7070", producer.WithHooks(metrics))
		_, _ = p, err
	}
}
