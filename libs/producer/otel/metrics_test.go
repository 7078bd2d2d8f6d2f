package producerotel_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/streamhouse/streamhouse/libs/producer"
	producerotel "github.com/streamhouse/streamhouse/libs/producer/otel"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// meter returns metrics and what reads them.
func meter(t *testing.T) (*producerotel.Metrics, *sdk.ManualReader) {
	t.Helper()
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	t.Cleanup(func() { _ = provider.Shutdown(t.Context()) }) // nothing is exported
	m, err := producerotel.NewMetrics(provider)
	if err != nil {
		t.Fatal(err)
	}
	return m, reader
}

func collect(t *testing.T, reader *sdk.ManualReader) []metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var metrics []metricdata.Metrics
	for _, s := range all.ScopeMetrics {
		metrics = append(metrics, s.Metrics...)
	}
	return metrics
}

// points returns what was collected, each as "name{attribute=value} sum", for
// histograms "count sum".
func points(metrics []metricdata.Metrics) []string {
	var lines []string
	for _, m := range metrics {
		add := func(attrs attribute.Set, format string, values ...any) {
			lines = append(lines, fmt.Sprintf("%s{%s} ", m.Name, attrs.Encoded(attribute.DefaultEncoder()))+fmt.Sprintf(format, values...))
		}
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				add(p.Attributes, "%d", p.Value)
			}
		case metricdata.Gauge[int64]:
			for _, p := range data.DataPoints {
				add(p.Attributes, "%d", p.Value)
			}
		case metricdata.Histogram[int64]:
			for _, p := range data.DataPoints {
				add(p.Attributes, "%d %d", p.Count, p.Sum)
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				add(p.Attributes, "%d", p.Count)
			}
		default:
			lines = append(lines, fmt.Sprintf("%s is a %T", m.Name, m.Data))
		}
	}
	return lines
}

// want checks that points were collected. "own." stands for the prefix of the
// package's own names, "SEND" for the attributes of a send to orders.
func want(t *testing.T, reader *sdk.ManualReader, lines ...string) {
	t.Helper()
	got := points(collect(t, reader))
	for _, line := range lines {
		line = strings.Replace(line, "own.", "streamhouse.producer.", 1)
		line = strings.Replace(line, "SEND", "messaging.destination.name=orders,messaging.operation.name=send,messaging.operation.type=send,messaging.system=streamhouse", 1)
		if !slices.Contains(got, line) {
			t.Errorf("no point %q in\n%s", line, strings.Join(got, "\n"))
		}
	}
}

func TestMetricsOfAProducer(t *testing.T) {
	m, reader := meter(t)
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
	s := p.Stats()
	of := "{server.address=" + agent.address() + "} "
	want(t, reader,
		"own.buffer.records{} 3",
		fmt.Sprintf("own.buffer.size{} %d", s.BufferedBytes),
		"own.buffer.records.limit{} 1048576",
		"own.buffer.size.limit{} 67108864",
		"own.buffer.waiting{} 0",
		"own.topics{} 1",
		"own.in_flight.batches"+of+"1",
		fmt.Sprintf("own.in_flight.size%s%d", of, s.InFlightBytes),
		"own.streams"+of+"1",
		"own.connections{server.address="+agent.address()+",streamhouse.connection.state=in_use} 1",
		"own.connections{server.address="+agent.address()+",streamhouse.connection.state=idle} 0",
		"own.breaker.state"+of+"0",
		"own.connect.duration{} 1",
		"own.batch.records{} 1 3",
		fmt.Sprintf("own.batch.sent.size{} 1 %d", s.InFlightBytes),
	)
	close(agent.hold)
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	sent := agent.lastSize()
	want(t, reader,
		"own.buffer.records{} 0",
		"messaging.client.sent.messages{SEND} 3",
		"messaging.client.operation.duration{SEND} 1",
		"messaging.client.operation.duration{error.type=OVERLOADED,SEND} 1",
		"own.records{messaging.destination.name=orders,streamhouse.outcome=done} 3",
		fmt.Sprintf("own.sent.bytes{messaging.destination.name=orders} %d", 2*sent),
		fmt.Sprintf("own.batch.sent.size{} 1 %d", sent), // measured once, however often it is sent
		"own.retries{error.type=OVERLOADED} 1",
		"own.throttles{error.type=OVERLOADED} 1",
		"own.delivery.duration{streamhouse.outcome=done} 1",
	)
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	want(t, reader, "own.disconnects{} 1", "messaging.client.sent.messages{SEND} 3")
	for _, line := range points(collect(t, reader)) {
		if strings.Contains(line, "server.address") || strings.Contains(line, "buffer.records") {
			t.Errorf("a closed producer is still observed: %s", line)
		}
	}
}

// fire makes every event happen that a healthy agent does not cause.
func fire(m *producerotel.Metrics) {
	failed := &producer.Error{Outcome: producer.NotDone, Err: reason.New(reason.TooLarge, "no")}
	m.OnBatchSent(producer.BatchSentEvent{Topic: "orders", Records: 10, Bytes: 1000, SentBytes: 500, Attempt: 1})
	m.OnAnswer(producer.AnswerEvent{Topic: "orders", Latency: 20 * time.Millisecond, Err: failed})
	m.OnBatchDone(producer.BatchDoneEvent{Topic: "orders", Records: 10, Bytes: 1000, Age: 3 * time.Second, Outcome: producer.NotDone, Err: failed})
	m.OnBatchDone(producer.BatchDoneEvent{Topic: "orders", Records: 5, Outcome: producer.Unknown, Err: producer.ErrGivenUp})
	m.OnRetry(producer.RetryEvent{Err: reason.NotOwner})
	m.OnThrottle(producer.ThrottleEvent{Err: reason.Overloaded})
	m.OnHedge(producer.HedgeEvent{})
	m.OnBreakerChange(producer.BreakerEvent{State: producer.BreakerHalfOpen})
	m.OnConnect(producer.ConnectEvent{Err: &reason.Error{Code: 14}, Duration: time.Second})
	m.OnDisconnect(producer.DisconnectEvent{Err: &reason.Error{Code: 14}})
	m.OnBufferFull(producer.BufferFullEvent{Err: producer.ErrBufferFull})
	m.OnBufferFull(producer.BufferFullEvent{Waited: 2 * time.Second})
}

func TestMetricsOfFailures(t *testing.T) {
	m, reader := meter(t)
	fire(m)
	want(t, reader,
		"messaging.client.sent.messages{error.type=TOO_LARGE,SEND} 10",
		"own.records{messaging.destination.name=orders,streamhouse.outcome=not_done} 10",
		"own.records{messaging.destination.name=orders,streamhouse.outcome=unknown} 5",
		"own.retries{error.type=NOT_OWNER} 1",
		"own.hedges{} 1",
		"own.breaker.changes{streamhouse.breaker.state=half-open} 1",
		"own.connect.duration{error.type=UNAVAILABLE} 1",
		"own.disconnects{error.type=UNAVAILABLE} 1",
		"own.buffer.wait.duration{error.type=BUFFER_FULL} 1",
		"own.buffer.wait.duration{} 1",
	)
}

// Producers come and go while metrics are collected; neither waits for the
// other.
func TestProducersComeAndGoWhileMetricsAreCollected(t *testing.T) {
	m, reader := meter(t)
	var coming sync.WaitGroup
	for range 4 {
		coming.Go(func() {
			for range 50 {
				p, err := producer.New(t.Context(), "localhost:1", producer.WithHooks(m))
				if err != nil {
					t.Error(err)
					return
				}
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	gone := make(chan struct{})
	go func() {
		coming.Wait()
		close(gone)
	}()
	for there := true; there; {
		collect(t, reader)
		select {
		case <-gone:
			there = false
		default:
		}
	}
	if got := points(collect(t, reader)); len(got) != 0 {
		t.Errorf("still collected: %v", got)
	}
}

// documented reads the table of the package's doc: kind, unit and attributes by
// name.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(strings.TrimPrefix(line, "//"))
		if len(f) < 4 || !slices.Contains([]string{"counter", "histogram", "updowncounter", "gauge"}, f[1]) {
			continue
		}
		row := []string{f[1], f[2]}
		for _, word := range f[3:] {
			name := map[string]string{
				"topic": "messaging.destination.name", "error": "error.type", "outcome": "streamhouse.outcome",
				"agent": "server.address", "state": "streamhouse.breaker.state", "connection": "streamhouse.connection.state",
			}[strings.TrimSuffix(word, ",")]
			if name != "" {
				row = append(row, name)
			}
			if !strings.HasSuffix(word, ",") {
				break
			}
		}
		slices.Sort(row[2:])
		name := f[0]
		if !strings.HasPrefix(name, "messaging.") {
			name = "streamhouse.producer." + name
		}
		table[name] = strings.Join(row, " ")
	}
	return table
}

// kindOf is how the doc calls what was collected, and the attributes of all of
// its points.
func kindOf(m metricdata.Metrics) (string, []string) {
	var sets []attribute.Set
	kind := fmt.Sprintf("%T", m.Data)
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		kind = "updowncounter"
		if data.IsMonotonic {
			kind = "counter"
		}
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Gauge[int64]:
		kind = "gauge"
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[int64]:
		kind = "histogram"
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[float64]:
		kind = "histogram"
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	}
	var names []string
	for _, s := range sets {
		for _, a := range s.ToSlice() {
			constant := a.Key == "messaging.system" || strings.HasPrefix(string(a.Key), "messaging.operation")
			if !constant && !slices.Contains(names, string(a.Key)) {
				names = append(names, string(a.Key))
			}
		}
	}
	slices.Sort(names)
	return kind, names
}

// The doc's table is what is collected.
func TestDoc(t *testing.T) {
	m, reader := meter(t)
	agent := startAgent(t)
	close(agent.hold)
	p := agent.producer(t, producer.WithHooks(m), producer.WithLinger(0))
	if _, err := p.Send(t.Context(), producer.Record{}); err != nil {
		t.Fatal(err)
	}
	fire(m)
	table := documented(t)
	for _, metric := range collect(t, reader) {
		kind, names := kindOf(metric)
		got := strings.Join(append([]string{kind, metric.Unit}, names...), " ")
		if table[metric.Name] != got {
			t.Errorf("%s is %q, and the doc says %q", metric.Name, got, table[metric.Name])
		}
		if metric.Description == "" {
			t.Errorf("%s has no description", metric.Name)
		}
		delete(table, metric.Name)
	}
	for name := range table {
		t.Errorf("%s is in the doc and not collected", name)
	}
}
