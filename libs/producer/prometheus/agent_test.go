package producerprom_test

import (
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
)

// agent refuses the first batch of all with OVERLOADED, and appends what comes
// then.
type agent struct {
	*producertest.Cluster
	hold chan struct{} // answers wait until it is closed

	mu      sync.Mutex
	refused bool
	size    int // of the batch that came last
}

func startAgent(t *testing.T) *agent {
	t.Helper()
	a := &agent{Cluster: producertest.New(t, producertest.Topic("orders", 1), producertest.Topic("others", 1)), hold: make(chan struct{})}
	a.Script(func(at *producertest.Attempt) producertest.Reply {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.size = len(at.Data)
		reply := producertest.Proceed()
		if !a.refused {
			a.refused = true
			reply = producertest.Overload(time.Millisecond)
		}
		reply.Wait = a.hold
		return reply
	})
	return a
}

func (a *agent) lastSize() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.size
}

// address is how it is named in metrics.
func (a *agent) address() string { return producertest.Address("a") }

// producer makes one that sends orders to the agent.
func (a *agent) producer(t *testing.T, opts ...producer.Option) *producer.Producer {
	t.Helper()
	opts = append(opts, producer.WithTopic("orders"), producer.WithDialOptions(a.Dialer()))
	p, err := producer.New(t.Context(), a.Target(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(t.Context()) }) // each test flushes what it looks at
	return p
}
