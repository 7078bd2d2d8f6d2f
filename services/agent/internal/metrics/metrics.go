// Package metrics shows what an agent counts: to Prometheus, which asks for it,
// and to CloudWatch, by lines of its embedded metric format. One catalog
// describes both; docs/metrics.md lists it.
package metrics

import (
	"github.com/streamhouse/streamhouse/services/agent/cost"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// Source is what is shown.
type Source struct {
	Stats *stats.Stats
	// Prices are those of the agent's stores.
	Prices cost.Prices
	// Now reads what is so at the moment.
	Now func() Now
}

// Now is what an agent holds at one moment.
type Now struct {
	BufferedBytes, BufferLimit int64
	// Leases are the partitions that the agent owns, Unowned those that no
	// agent owns, as this one saw it last.
	Leases, Unowned int
}

// Kind is how a metric moves.
type Kind int

// The kinds.
const (
	// Counter only rises.
	Counter Kind = iota
	// Gauge is a value of the moment.
	Gauge
	// Histogram is how values are spread.
	Histogram
)

// Metric is one entry of the catalog.
type Metric struct {
	// Name is Prometheus's, without the prefix "streamhouse_".
	Name string
	// Cloud is CloudWatch's. Of a metric with a label, "%s" stands for the
	// label's value; without it, the values are added up.
	Cloud string
	Kind  Kind
	// Unit is CloudWatch's word for it.
	Unit  string
	Help  string
	Label string

	values    func(s *snapshot) map[string]float64 // Counter and Gauge, by label
	histogram func(s *stats.Stats) *stats.Histogram
	scale     float64   // of the histogram's integers, for Prometheus
	cloud     float64   // the same for CloudWatch
	bounds    []float64 // of Prometheus's buckets
}

// snapshot is everything that counters and gauges read.
type snapshot struct {
	*stats.Stats
	Now
	cost float64
}

func (s Source) snapshot() *snapshot {
	st := s.Stats
	used := cost.Count(st.Requests(), st.ReadUnits.Load(), st.WriteUnits.Load())
	return &snapshot{Stats: st, Now: s.Now(), cost: s.Prices.Total(used)}
}
