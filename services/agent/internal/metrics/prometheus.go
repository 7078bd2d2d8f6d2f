package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// prefix begins the names of all metrics.
const prefix = "streamhouse_"

// Handler answers Prometheus: with the catalog, and with what its client
// library knows of the process and of Go's runtime.
func Handler(s Source) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		newCollector(s),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// collector reads the agent's own counters when Prometheus asks: to count
// twice would cost the produce path.
type collector struct {
	source Source
	all    []described
}

type described struct {
	Metric
	desc *prometheus.Desc
}

func newCollector(s Source) *collector {
	c := &collector{source: s}
	for _, m := range Catalog() {
		var labels []string
		if m.Label != "" {
			labels = []string{m.Label}
		}
		c.all = append(c.all, described{m, prometheus.NewDesc(prefix+m.Name, m.Help, labels, nil)})
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.all {
		out <- d.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.source.snapshot()
	for _, d := range c.all {
		if d.Kind == Histogram {
			out <- d.buckets(d.histogram(s.Stats).Counts())
			continue
		}
		kind := prometheus.CounterValue
		if d.Kind == Gauge {
			kind = prometheus.GaugeValue
		}
		for label, v := range d.values(s) {
			var labels []string
			if d.Label != "" {
				labels = []string{label}
			}
			out <- prometheus.MustNewConstMetric(d.desc, kind, v, labels...)
		}
	}
}

// buckets adds fine buckets up to Prometheus's coarser ones. One that lies
// across a bound counts above it: a bucket is a sixteenth of its value wide.
func (d *described) buckets(c *stats.Counts) prometheus.Metric {
	cumulative := make(map[float64]uint64, len(d.bounds))
	total, next := uint64(0), 0
	for b, n := range c.Buckets {
		for next < len(d.bounds) && float64(stats.Upper(b))*d.scale > d.bounds[next] {
			cumulative[d.bounds[next]] = total
			next++
		}
		total += n
	}
	for ; next < len(d.bounds); next++ {
		cumulative[d.bounds[next]] = total
	}
	return prometheus.MustNewConstHistogram(d.desc, total, float64(c.Sum)*d.scale, cumulative)
}
