package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// Namespace and Dimension are where CloudWatch keeps the metrics: all agents
// of a cluster report under its name alone, so that neither the number of
// agents nor their replacement makes new metrics, which are billed each.
const (
	Namespace = "StreamHouse"
	Dimension = "Cluster"
)

// Period is how often a line is written, the resolution of CloudWatch.
const Period = time.Minute

// Embedded writes lines of CloudWatch's embedded metric format, of which a log
// group makes metrics.
type Embedded struct {
	source  Source
	cluster string
	out     io.Writer
	// counted are the counters, and seen the histograms, as they were written
	// last: CloudWatch adds up what is new.
	counted map[string]float64
	seen    map[string]*stats.Counts
}

// NewEmbedded returns a writer that counts from now on.
func NewEmbedded(s Source, cluster string, out io.Writer) *Embedded {
	e := &Embedded{source: s, cluster: cluster, out: out, counted: map[string]float64{}, seen: map[string]*stats.Counts{}}
	e.document(time.Time{})
	return e
}

// Run writes a line every Period, and one more when ctx ends.
func (e *Embedded) Run(ctx context.Context) error {
	tick := time.NewTicker(Period)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if err := e.Write(time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// Write writes one line: what happened since the last one.
func (e *Embedded) Write(now time.Time) error {
	line, err := json.Marshal(e.document(now))
	if err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	if _, err := e.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

type definition struct {
	Name string
	Unit string
}

func (e *Embedded) document(now time.Time) map[string]any {
	doc := map[string]any{Dimension: e.cluster}
	var names []definition
	add := func(name, unit string, value any) {
		doc[name] = value
		names = append(names, definition{name, unit})
	}
	s := e.source.snapshot()
	for _, m := range Catalog() {
		switch m.Kind {
		case Histogram:
			if values := e.spread(m, s.Stats); len(values) > 0 {
				add(m.Cloud, m.Unit, values)
			}
		case Gauge:
			v := m.values(s)[""]
			if m.Unit == "Percent" {
				v *= 100
			}
			add(m.Cloud, m.Unit, v)
		case Counter:
			now := m.perName(s)
			for _, name := range slices.Sorted(maps.Keys(now)) {
				add(name, m.Unit, now[name]-e.counted[name])
				e.counted[name] = now[name]
			}
		}
	}
	doc["_aws"] = map[string]any{
		"Timestamp": now.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": Namespace, "Dimensions": [][]string{{Dimension}}, "Metrics": names,
		}},
	}
	return doc
}

// perName gives a counter's values CloudWatch's names.
func (m *Metric) perName(s *snapshot) map[string]float64 {
	all := map[string]float64{}
	if !strings.Contains(m.Cloud, "%s") {
		all[m.Cloud] = 0 // also when nothing was counted yet: an alarm wants data
	}
	for label, v := range m.values(s) {
		all[strings.ReplaceAll(m.Cloud, "%s", label)] += v
	}
	return all
}

// mostValues is how many values of a metric a line may hold.
const mostValues = 100

// spread describes what a histogram counted since the last line: each value
// where there are few, else a hundred, of which each stands for a hundredth of
// them, and the last is the highest. CloudWatch takes percentiles from these.
func (e *Embedded) spread(m Metric, s *stats.Stats) []float64 {
	now := m.histogram(s).Counts()
	fresh, total := *now, uint64(0)
	if last := e.seen[m.Name]; last != nil {
		for b := range fresh.Buckets {
			fresh.Buckets[b] -= last.Buckets[b]
		}
	}
	e.seen[m.Name] = now
	for _, n := range fresh.Buckets {
		total += n
	}
	n := min(total, mostValues)
	values := make([]float64, 0, n)
	rank := func(i uint64) uint64 { // of the value that stands for the i-th part
		if i == n-1 {
			return total - 1
		}
		return (2*i + 1) * total / (2 * n)
	}
	passed := uint64(0)
	for b, in := range fresh.Buckets {
		for passed += in; uint64(len(values)) < n && rank(uint64(len(values))) < passed; {
			values = append(values, float64(stats.Upper(b))*m.cloud)
		}
	}
	return values
}
