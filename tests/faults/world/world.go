// Package world is one store, the agents that come and go on it, and the
// network between them and their clients, all in a synctest bubble: time is
// virtual, so that leases, timeouts and backoffs cost nothing, and a test of
// minutes takes milliseconds.
//
// The agents and the clients are the real ones; only the network is made of
// memory, and the store is agent.Memory behind the agent's own fault rules.
package world

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/internal/history"
)

// Topic is the topic that CreateTopic makes and clients send to.
const Topic = "orders"

// World is a store with its agents and clients. It must be used within a
// bubble, by one goroutine.
type World struct {
	*testing.T
	History *history.History

	memory *agent.Memory
	net    *network
	agents []*Agent
	errors struct {
		sync.Mutex
		texts map[string]int // by how many records failed with it
	}
}

// New makes a world, which the end of the test ends.
func New(t *testing.T) *World {
	t.Helper()
	w := &World{T: t, History: history.New(), memory: agent.NewMemory(), net: newNetwork()}
	t.Cleanup(w.end)
	return w
}

// Share lets agents that are launched from now on work beside each other, in
// place of each taking everybody before it for dead.
func (w *World) Share() { w.memory = w.memory.Shared() }

// end stops what still runs.
func (w *World) end() {
	for _, a := range w.agents {
		_ = a.Stop() // its error was the test's to look at
	}
}

// Producer makes a client of whatever agent is the newest, which chooses no
// partitions by itself. The end of the test closes it.
func (w *World) Producer(opts ...producer.Option) *producer.Producer {
	w.Helper()
	base := []producer.Option{
		producer.WithDialOptions(w.net.dialer()), producer.WithTopic(Topic),
		producer.WithPartitioner(producer.Manual()),
	}
	p, err := producer.New(w.Context(), entrance, append(base, opts...)...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { closeNow(p) })
	return p
}

// closeNow ends a producer that the test may have closed already.
func closeNow(p *producer.Producer) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.Close(ctx)
}

// Dial connects to the newest agent, for calls that no library makes. The end
// of the test hangs up.
func (w *World) Dial() *grpc.ClientConn {
	w.Helper()
	return w.keep(w.dial())
}

// DialTo is Dial to an agent of choice.
func (w *World) DialTo(a *Agent) *grpc.ClientConn {
	w.Helper()
	return w.keep(w.dialTo(a.addr))
}

func (w *World) keep(conn *grpc.ClientConn) *grpc.ClientConn {
	w.Cleanup(func() { hangUp(conn) })
	return conn
}

func (w *World) dial() *grpc.ClientConn {
	w.Helper()
	return w.dialTo(entrance)
}

func (w *World) dialTo(address string) *grpc.ClientConn {
	w.Helper()
	conn, err := grpc.NewClient(address, w.net.dialer(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		w.Fatal(err)
	}
	return conn
}

// hangUp closes a connection; it only ever says that it is closed already.
func hangUp(conn *grpc.ClientConn) { _ = conn.Close() }

// maxMessage is above what agents take: they are to refuse it, not the client.
const maxMessage = 64 << 20

// CreateTopic makes Topic, or finds that it is made: a creation whose answer
// was lost is no failure.
func (w *World) CreateTopic(ctx context.Context, partitions uint32) error {
	conn := w.dial()
	defer hangUp(conn)
	_, err := streamhousev1.NewTopicServiceClient(conn).CreateTopic(ctx, &streamhousev1.CreateTopicRequest{Name: Topic, PartitionCount: partitions})
	if err == nil || errors.Is(reason.From(err), reason.TopicExists) {
		return nil
	}
	return fmt.Errorf("create topic: %w", err)
}

// MustCreateTopic is CreateTopic on stores that do not fail.
func (w *World) MustCreateTopic(partitions uint32) {
	w.Helper()
	if err := w.CreateTopic(w.Context(), partitions); err != nil {
		w.Fatal(err)
	}
}

// Stats is what the newest agent tells of itself.
func (w *World) Stats() *streamhousev1.GetStatsResponse {
	w.Helper()
	conn := w.dial()
	defer hangUp(conn)
	stats, err := streamhousev1.NewAgentServiceClient(conn).GetStats(w.Context(), &streamhousev1.GetStatsRequest{})
	if err != nil {
		w.Fatal(err)
	}
	return stats
}
