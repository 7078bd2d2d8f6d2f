package aws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// counter is on the way to a server, and counts what passes: of S3 by method,
// of DynamoDB by operation and table, and the write units that were reported.
type counter struct {
	url string

	mu struct {
		sync.Mutex
		requests map[string]int
		units    map[string]float64
	}
}

func newCounter(t *testing.T, endpoint string) *counter {
	t.Helper()
	behind, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{}
	c.reset()
	proxy := httputil.NewSingleHostReverseProxy(behind)
	proxy.ModifyResponse = c.answered
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.asked(r)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	c.url = front.URL
	return c
}

// asked names a request: "PUT", or "PutItem journal".
func (c *counter) asked(r *http.Request) {
	name := r.Method
	if _, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var in struct{ TableName string }
		_ = json.Unmarshal(body, &in) // of the SDK
		name = operation + in.TableName[strings.LastIndex(in.TableName, "-"):]
	}
	r.Header.Set("X-Counted", name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.requests[name]++
}

func (c *counter) answered(r *http.Response) error {
	if r.Request.Header.Get("X-Amz-Target") == "" {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var out struct {
		ConsumedCapacity struct{ CapacityUnits float64 }
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.units[r.Request.Header.Get("X-Counted")] += out.ConsumedCapacity.CapacityUnits
	return nil
}

func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.requests, c.mu.units = map[string]int{}, map[string]float64{}
}

func (c *counter) counted() (requests map[string]int, units map[string]float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.mu.requests), maps.Clone(c.mu.units)
}

// TestRequestsOfAFlush counts on the wire: a flush is one PUT and one row,
// however many partitions are in it, and the row costs a write unit for 32 of
// them at most.
func TestRequestsOfAFlush(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 16, 256} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			t.Parallel()
			c := newCounter(t, process.StartStandin(t).Endpoint)
			a := process.NewAgent(t, "", flags(newStore(t, c.url), "agent", "--flush-max-per-second=1", "--flush-age=2s", "--flush-hedge-budget=0")...)
			a.Start()
			a.CreateTopic("events", uint32(partitions))
			p := newProducer(t, a, "events")
			sendToAll(t, p, 1) // flushed at once; what comes within a second after it is the next flush
			for range 2 {
				c.reset()
				sendToAll(t, p, partitions)
				requests, units := c.counted()
				if requests["PUT"] != 1 || requests["PutItem-journal"] != 1 || requests["GET"]+requests["DELETE"] != 0 {
					t.Errorf("a flush of %d partitions sent %v", partitions, requests)
				}
				if most := float64((partitions + 31) / 32); units["PutItem-journal"] > most || units["PutItem-journal"] < 1 {
					t.Errorf("a flush of %d partitions took %v write units, want at most %v", partitions, units["PutItem-journal"], most)
				}
				t.Logf("%d partitions: %v write units", partitions, units["PutItem-journal"])
			}
		})
	}
}

// sendToAll sends a record to each of the first partitions, and waits until all
// are acknowledged.
func sendToAll(t *testing.T, p *producer.Producer, partitions int) {
	t.Helper()
	results := make(chan error, partitions)
	for partition := range partitions {
		p.SendAsync(t.Context(), producer.Record{Partition: int32(partition), Value: []byte("a record")}, func(_ producer.Ack, err error) { results <- err })
	}
	for range partitions {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
}

// TestRequestsOfAnIdleAgent: heartbeats, and a look at the sessions and the
// topics twice in each; nothing else, whatever it owns.
func TestRequestsOfAnIdleAgent(t *testing.T) {
	t.Parallel()
	c := newCounter(t, process.StartStandin(t).Endpoint)
	a := process.NewAgent(t, "", flags(newStore(t, c.url), "agent")...)
	a.Start()
	a.CreateTopic("events", 64)
	sendToAll(t, newProducer(t, a, "events"), 64)
	time.Sleep(500 * time.Millisecond) // it settles
	const heartbeats, beat = 12, 250 * time.Millisecond
	c.reset()
	time.Sleep(heartbeats * beat)
	requests, units := c.counted()
	t.Logf("in %d heartbeats: %v, units %v", heartbeats, requests, units)
	for name, n := range requests {
		most := map[string]int{"PutItem-sessions": heartbeats + 1, "Scan-sessions": 2*heartbeats + 2, "Scan-topics": 2*heartbeats + 2, "Query-partitions": 3}[name]
		if n > most {
			t.Errorf("%d times %s in %d heartbeats, want at most %d", n, name, heartbeats, most)
		}
	}
	if n := requests["PutItem-sessions"]; n < heartbeats/2 {
		t.Errorf("only %d heartbeats were counted: %v", n, requests)
	}
}
