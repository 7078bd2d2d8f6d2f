package agent

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
	"github.com/streamhouse/streamhouse/services/agent/internal/verify"
)

// bed is a store, with the latencies of the cloud unless they are taken away, and
// the agents that come and go on it. All that reaches the store is counted.
type bed struct {
	testing.TB
	tally  *tally
	delays faults.Plan
	topic  *meta.Topic
	agents int
}

// cloud is how long a healthy store takes.
var cloud = faults.Plan{
	Put:    faults.Latency{P50: 60 * time.Millisecond, P99: 200 * time.Millisecond},
	Get:    faults.Latency{P50: 20 * time.Millisecond, P99: 80 * time.Millisecond},
	Commit: faults.Latency{P50: 4 * time.Millisecond, P99: 10 * time.Millisecond},
	Read:   faults.Latency{P50: 4 * time.Millisecond, P99: 10 * time.Millisecond},
}

// newBed makes a bed of a store in memory, for a bubble.
func newBed(tb testing.TB, partitions uint32, settings meta.Topic) *bed {
	tb.Helper()
	return newBedOn(tb, newTally(memory.NewObjects(), memory.NewRows()), partitions, settings)
}

func newBedOn(tb testing.TB, store *tally, partitions uint32, settings meta.Topic) *bed {
	tb.Helper()
	b := &bed{TB: tb, tally: store, delays: cloud}
	var err error
	if b.topic, err = topics.New(b.tally.rows, maxPartitions).Create(tb.Context(), "t", partitions); err != nil {
		tb.Fatal(err)
	}
	b.topic.RetentionMillis, b.topic.RetentionBytes = settings.RetentionMillis, settings.RetentionBytes
	if err := b.tally.rows.Swap(tb.Context(), b.topic); err != nil {
		tb.Fatal(err)
	}
	return b
}

// bedded is an agent on a bed.
type bedded struct {
	*Agent
	cable *cable
	stop  context.CancelFunc
	ended chan error
}

var errNobody = errors.New("there is nobody else")

// start runs an agent with a configuration.
func (b *bed) start(cfg Config) *bedded {
	b.Helper()
	b.agents++
	plan := b.delays
	plan.Seed = uint64(b.agents)
	injector := faults.New(plan)
	c := &cable{}
	store := &Memory{objects: injector.Objects(b.tally.Objects()), rows: injector.Rows(b.tally.Rows()), shared: true}
	cfg.Name = "agent"
	cfg.Listeners = []Listener{{Name: "internal", Address: "127.0.0.1:7070", Advertise: "127.0.0.1:7070"}}
	a, err := New(cfg, WithMemory(store.Over(c)), WithListener("internal", bufconn.Listen(1<<10)),
		WithDialer(func(context.Context, string) (net.Conn, error) { return nil, errNobody }))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	running := &bedded{Agent: a, cable: c, stop: stop, ended: make(chan error, 1)}
	go func() { running.ended <- a.Run(ctx) }()
	return running
}

// host waits for the agent's session.
func (a *bedded) host() *host.Host {
	for a.services.Host() == nil {
		time.Sleep(time.Millisecond)
	}
	return a.services.Host()
}

// crash ends the agent as kill -9 would: nothing of it reaches the store any
// more. The process itself is swept away by end.
func (a *bedded) crash() { a.cable.dead.Store(true) }

// end lets the agent drain, which one that crashed cannot.
func (a *bedded) end() {
	a.stop()
	if err := <-a.ended; err == nil && a.cable.dead.Load() {
		panic("an agent that crashed ended in good order")
	}
}

// verify reads the whole store.
func (b *bed) verify() *verify.Report {
	b.Helper()
	report, err := verify.Run(b.Context(), b.tally.rows, b.tally.objects, verify.Options{})
	if err != nil {
		b.Errorf("the store is not as it should be: %v", err)
	}
	return report
}

// cable is an agent's way to the store: whole, or cut for good.
type cable struct{ dead atomic.Bool }

// Send implements StoreNetwork.
func (c *cable) Send(ctx context.Context, _ StoreRequest) StoreFate {
	if c.dead.Load() {
		<-ctx.Done()
		return StoreFate{Never: true}
	}
	return StoreFate{}
}

// Receive implements StoreNetwork.
func (c *cable) Receive(ctx context.Context, _ StoreRequest, _ error) {
	if c.dead.Load() {
		<-ctx.Done()
	}
}
