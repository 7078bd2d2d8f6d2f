package metrics

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/streamhouse/streamhouse/services/agent/cost"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

func source() Source {
	s := &stats.Stats{}
	s.Committed(1000, 10, 5000, 5100)
	s.Acknowledged(30*time.Millisecond, 500)
	s.PutLatency.Observe(60 * time.Millisecond)
	s.Puts.Add(3)
	s.PutErrors.Add(2)
	s.WriteUnits.Add(4)
	s.Refusals.Inc("OVERLOADED")
	s.Refusals.Inc("NOT_OWNER")
	return Source{Stats: s, Prices: cost.Standard, Now: func() Now {
		return Now{BufferedBytes: 1 << 20, BufferLimit: 4 << 20, Leases: 7, Unowned: 2}
	}}
}

// scrape reads what Prometheus would, by name and labels.
func scrape(t *testing.T, s Source) map[string]float64 {
	t.Helper()
	answer := httptest.NewRecorder()
	Handler(s).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	all := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			all[name] = v
		}
	}
	return all
}

func TestPrometheus(t *testing.T) {
	got := scrape(t, source())
	for name, want := range map[string]float64{
		"streamhouse_records_total":                           1000,
		"streamhouse_bytes_total":                             5000,
		"streamhouse_ack_duration_seconds_count":              1,
		"streamhouse_ack_duration_seconds_sum":                0.03,
		`streamhouse_ack_duration_seconds_bucket{le="0.025"}`: 0,
		`streamhouse_ack_duration_seconds_bucket{le="0.05"}`:  1,
		`streamhouse_ack_duration_seconds_bucket{le="+Inf"}`:  1,
		`streamhouse_refusals_total{reason="OVERLOADED"}`:     1,
		`streamhouse_store_requests_total{kind="put"}`:        3,
		`streamhouse_store_errors_total{kind="put"}`:          2,
		`streamhouse_capacity_units_total{kind="write"}`:      4,
		"streamhouse_request_cost_usd_total":                  3*5e-6 + 4*0.625e-6,
		"streamhouse_buffer_used_ratio":                       0.25,
		"streamhouse_leases":                                  7,
		"streamhouse_partitions_without_owner":                2,
		`streamhouse_segment_size_bytes_bucket{le="4096"}`:    0,
		`streamhouse_segment_size_bytes_bucket{le="16384"}`:   1,
	} {
		if v, ok := got[name]; !ok || math.Abs(v-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	if got["go_goroutines"] < 1 {
		t.Error("nothing of Go's runtime")
	}
}

// The names are as Prometheus's conventions want them.
func TestNames(t *testing.T) {
	problems, err := testutil.CollectAndLint(newCollector(source()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.DeleteFunc(problems, func(p promlint.Problem) bool { return p.Metric == "" }) {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// emf reads a line as CloudWatch does: metrics are what the directive names.
func emf(t *testing.T, line []byte) (at time.Time, metrics map[string][]float64) {
	t.Helper()
	var head struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		} `json:"_aws"`
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &head); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &members); err != nil {
		t.Fatal(err)
	}
	d := head.AWS.CloudWatchMetrics[0]
	if len(head.AWS.CloudWatchMetrics) != 1 || d.Namespace != "StreamHouse" || len(d.Dimensions) != 1 ||
		!slices.Equal(d.Dimensions[0], []string{"Cluster"}) || string(members["Cluster"]) != `"prod"` {
		t.Fatalf("the directive is %+v, the cluster %s", d, members["Cluster"])
	}
	if len(d.Metrics) > 100 { // CloudWatch's limit
		t.Errorf("%d metrics", len(d.Metrics))
	}
	units := []string{"Count", "Bytes", "Milliseconds", "Seconds", "Percent", "None"}
	metrics = map[string][]float64{}
	for _, m := range d.Metrics {
		var one float64
		var many []float64
		if json.Unmarshal(members[m.Name], &one) == nil {
			many = []float64{one}
		} else if err := json.Unmarshal(members[m.Name], &many); err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
		if len(many) == 0 || len(many) > 100 || !slices.Contains(units, m.Unit) || metrics[m.Name] != nil {
			t.Errorf("%s has %d values in %s", m.Name, len(many), m.Unit)
		}
		metrics[m.Name] = many
	}
	return time.UnixMilli(head.AWS.Timestamp), metrics
}

// lines passes on what is written.
type lines chan []byte

func (l lines) Write(line []byte) (int, error) {
	l <- bytes.Clone(line)
	return len(line), nil
}

// A line tells what is new since the last one; gauges are as they are.
func TestEmbedded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := source()
		out := make(lines, 10)
		e := NewEmbedded(s, "prod", out)
		s.Stats.Committed(5, 1, 100, 120)
		s.Stats.Refusals.Inc("OVERLOADED")
		for range 1000 {
			s.Stats.AckLatency.Observe(20 * time.Millisecond)
		}
		for range 20 {
			s.Stats.AckLatency.Observe(200 * time.Millisecond)
		}
		s.Stats.AckLatency.Observe(time.Second)
		ended := make(chan error, 1)
		go func() { ended <- e.Run(t.Context()) }()
		line := <-out
		time.Sleep(time.Second)
		at, m := emf(t, line)
		if age := time.Since(at); age != time.Second {
			t.Errorf("the line is %v old", age)
		}
		for name, want := range map[string]float64{
			"Records": 5, "BytesIn": 100, "Refusals": 1, "StoreRequests_put": 0, "BufferUsed": 25, "Leases": 7,
			"PartitionsWithoutOwner": 2, "RequestCost": 0, "ThrottledRequests": 0, "StoreErrors_commit": 0,
		} {
			if got := m[name]; len(got) != 1 || got[0] != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		acks := m["AckLatency"]
		if len(acks) != 100 || !slices.IsSorted(acks) {
			t.Fatalf("latencies %v", acks)
		}
		for rank, want := range map[int]float64{0: 20, 50: 20, 97: 20, 98: 200, 99: 1000} {
			if got := acks[rank]; got < want || got > want*17/16 {
				t.Errorf("latency %d is %v ms, want %v", rank, got, want)
			}
		}
		if _, ok := m["PutLatency"]; ok {
			t.Error("a histogram without new values is reported")
		}
		if _, m = emf(t, <-out); m["Records"][0] != 0 || m["AckLatency"] != nil {
			t.Errorf("nothing happened, and the next line says %v", m)
		}
	})
}

// docs/metrics.md lists what there is, under both names, with the same words.
func TestDocs(t *testing.T) {
	raw, err := os.ReadFile("../../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, line := range regexp.MustCompile("(?m)^\\| `(streamhouse_[a-z_]+)` .*$").FindAllStringSubmatch(string(raw), -1) {
		rows[line[1]] = line[0]
	}
	for _, m := range Catalog() {
		kind := map[Kind]string{Counter: "counter", Gauge: "gauge", Histogram: "histogram"}[m.Kind]
		if m.Label != "" {
			kind += " by `" + m.Label + "`"
		}
		cloud := strings.ReplaceAll(m.Cloud, "%s", "*"+m.Label+"*")
		want := "| `" + prefix + m.Name + "` | " + kind + " | " + cloud + " | " + m.Unit + " | " + m.Help + " |"
		if rows[prefix+m.Name] != want {
			t.Errorf("docs/metrics.md should have\n%s\nand has\n%s", want, rows[prefix+m.Name])
		}
		delete(rows, prefix+m.Name)
	}
	for name := range rows {
		t.Errorf("docs/metrics.md lists %s, which there is not", name)
	}
}
