package producerprom_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streamhouse/streamhouse/libs/producer"
	producerprom "github.com/streamhouse/streamhouse/libs/producer/prometheus"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// scrape returns what Prometheus would read, by line.
func scrape(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	answer := httptest.NewRecorder()
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != 200 {
		t.Fatalf("scrape: %d %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// want checks that lines were exposed, each given without the names' prefix.
func want(t *testing.T, exposed string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(exposed, "\nstreamhouse_producer_"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, exposed)
		}
	}
}

func registered(t *testing.T) (*producerprom.Metrics, *prometheus.Registry) {
	t.Helper()
	m, registry := producerprom.New(), prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	return m, registry
}

func TestMetricsOfAProducer(t *testing.T) {
	m, registry := registered(t)
	agent := startAgent(t)
	ctx := t.Context()
	p := agent.producer(t, producer.WithHooks(m), producer.WithBatchRecords(3))
	value := make([]byte, 2000)
	for range 3 {
		p.SendAsync(ctx, producer.Record{Value: value}, nil)
	}
	for p.Stats().InFlightBatches == 0 {
		time.Sleep(time.Millisecond)
	}
	label := fmt.Sprintf("{agent=%q}", agent.address())
	s := p.Stats()
	want(t, scrape(t, registry),
		"buffered_records 3",
		fmt.Sprintf("buffered_bytes %d", s.BufferedBytes),
		"buffer_max_records 1.048576e+06",
		"buffer_max_bytes 6.7108864e+07",
		"buffer_waiting 0",
		"topics 1",
		"in_flight_batches"+label+" 1",
		fmt.Sprintf("in_flight_bytes%s %d", label, s.InFlightBytes),
		"streams"+label+" 1",
		fmt.Sprintf(`connections{agent=%q,state="in_use"} 1`, agent.address()),
		fmt.Sprintf(`connections{agent=%q,state="idle"} 0`, agent.address()),
		"breaker_state"+label+" 0",
		`connects_total{reason="OK"} 1`,
		`connect_duration_seconds_count{result="ok"} 1`,
		"batch_records_sum 3",
		"batch_records_count 1",
		fmt.Sprintf("batch_sent_bytes_sum %d", s.InFlightBytes),
	)
	close(agent.hold)
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	sent := agent.lastSize()
	want(t, scrape(t, registry),
		"buffered_records 0",
		`records_total{outcome="done",topic="orders"} 3`,
		fmt.Sprintf(`record_bytes_total{outcome="done",topic="orders"} %d`, s.BufferedBytes),
		`batches_total{outcome="done",topic="orders"} 1`,
		fmt.Sprintf(`sent_bytes_total{topic="orders"} %d`, 2*sent),
		"batch_records_count 1", // a batch is measured once, however often it is sent
		fmt.Sprintf("batch_sent_bytes_sum %d", sent),
		`retries_total{reason="OVERLOADED"} 1`,
		`throttles_total{reason="OVERLOADED"} 1`,
		`request_duration_seconds_count{result="error"} 1`,
		`request_duration_seconds_count{result="ok"} 1`,
		`delivery_duration_seconds_count{outcome="done"} 1`,
	)
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	closed := scrape(t, registry)
	want(t, closed, "buffer_max_bytes 0", `disconnects_total{reason="OK"} 1`, `records_total{outcome="done",topic="orders"} 3`)
	if strings.Contains(closed, "in_flight_batches{") {
		t.Errorf("agents of a closed producer are still there:\n%s", closed)
	}
}

func TestProducersAreAddedUp(t *testing.T) {
	m, registry := registered(t)
	agent := startAgent(t)
	close(agent.hold)
	for range 2 {
		p := agent.producer(t, producer.WithHooks(m), producer.WithLinger(0))
		if _, err := p.Send(t.Context(), producer.Record{}); err != nil {
			t.Fatal(err)
		}
	}
	want(t, scrape(t, registry),
		fmt.Sprintf("streams{agent=%q} 2", agent.address()),
		"topics 2",
		"buffer_max_records 2.097152e+06",
		`records_total{outcome="done",topic="orders"} 2`,
	)
}

// fire makes every event happen that a healthy agent does not cause.
func fire(m *producerprom.Metrics) {
	failed := &producer.Error{Outcome: producer.NotDone, Err: reason.New(reason.TooLarge, "no")}
	m.OnBatchSent(producer.BatchSentEvent{Topic: "orders", Records: 10, Bytes: 1000, SentBytes: 500, Attempt: 1})
	m.OnAnswer(producer.AnswerEvent{Topic: "orders", Latency: 20 * time.Millisecond, Err: failed})
	m.OnBatchDone(producer.BatchDoneEvent{Topic: "orders", Records: 10, Bytes: 1000, Age: 3 * time.Second, Outcome: producer.NotDone, Err: failed})
	m.OnBatchDone(producer.BatchDoneEvent{Topic: "orders", Records: 5, Outcome: producer.Unknown, Err: producer.ErrGivenUp})
	m.OnRetry(producer.RetryEvent{Err: reason.NotOwner})
	m.OnThrottle(producer.ThrottleEvent{Err: reason.Overloaded})
	m.OnHedge(producer.HedgeEvent{})
	m.OnBreakerChange(producer.BreakerEvent{State: producer.BreakerOpen})
	m.OnConnect(producer.ConnectEvent{Err: &reason.Error{Code: 14}, Duration: time.Second})
	m.OnDisconnect(producer.DisconnectEvent{Err: &reason.Error{Code: 14}})
	m.OnBufferFull(producer.BufferFullEvent{Err: producer.ErrBufferFull})
	m.OnBufferFull(producer.BufferFullEvent{Waited: 2 * time.Second})
}

func TestMetricsOfFailures(t *testing.T) {
	m, registry := registered(t)
	fire(m)
	want(t, scrape(t, registry),
		`records_total{outcome="not_done",topic="orders"} 10`,
		`records_total{outcome="unknown",topic="orders"} 5`,
		`failed_records_total{reason="TOO_LARGE"} 10`,
		`failed_records_total{reason="GIVEN_UP"} 5`,
		`request_duration_seconds_bucket{result="error",le="0.01"} 0`,
		`request_duration_seconds_bucket{result="error",le="0.025"} 1`,
		`delivery_duration_seconds_sum{outcome="not_done"} 3`,
		`retries_total{reason="NOT_OWNER"} 1`,
		`throttles_total{reason="OVERLOADED"} 1`,
		"hedges_total 1",
		`breaker_changes_total{state="open"} 1`,
		`connects_total{reason="UNAVAILABLE"} 1`,
		`connect_duration_seconds_sum{result="error"} 1`,
		`disconnects_total{reason="UNAVAILABLE"} 1`,
		`buffer_wait_seconds_sum{result="ok"} 2`,
		`buffer_wait_seconds_count{result="error"} 1`,
	)
}

// The names keep Prometheus's conventions.
func TestNames(t *testing.T) {
	m, registry := registered(t)
	fire(m)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// documented reads the table of the package's doc: type and labels by name.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(strings.TrimPrefix(line, "//"))
		if len(f) < 3 || f[1] != "counter" && f[1] != "histogram" && f[1] != "gauge" {
			continue
		}
		labels := []string{}
		for _, word := range f[2:] {
			switch strings.TrimSuffix(word, ",") {
			case "topic", "outcome", "reason", "state", "result", "agent":
				labels = append(labels, strings.TrimSuffix(word, ","))
			}
			if !strings.HasSuffix(word, ",") {
				break
			}
		}
		table[f[0]] = f[1] + " " + strings.Join(labels, " ")
	}
	return table
}

// The doc's table is what is exposed.
func TestDoc(t *testing.T) {
	m, registry := registered(t)
	agent := startAgent(t)
	close(agent.hold)
	p := agent.producer(t, producer.WithHooks(m), producer.WithLinger(0))
	if _, err := p.Send(t.Context(), producer.Record{}); err != nil {
		t.Fatal(err)
	}
	fire(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	table := documented(t)
	for _, f := range families {
		name := strings.TrimPrefix(f.GetName(), "streamhouse_producer_")
		got := strings.ToLower(f.GetType().String()) + " "
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if doc, ok := table[name]; !ok || !sameWords(doc, got+strings.Join(labels, " ")) {
			t.Errorf("%s is a %s%v, and the doc says %q", name, got, labels, doc)
		}
		delete(table, name)
	}
	for name := range table {
		t.Errorf("%s is in the doc and not exposed", name)
	}
}

// sameWords compares without regard to the order of labels.
func sameWords(a, b string) bool {
	counts := map[string]int{}
	for w := range strings.FieldsSeq(a) {
		counts[w]++
	}
	for w := range strings.FieldsSeq(b) {
		counts[w]--
	}
	for _, n := range counts {
		if n != 0 {
			return false
		}
	}
	return true
}
