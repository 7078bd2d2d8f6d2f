package faults

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// cloud has an agent's store take as long as one of the cloud.
func cloud(c *agent.Config) {
	c.Store.PutLatency, c.Store.CommitLatency = "60ms/200ms", "4ms/10ms"
	c.Flush.Bytes, c.Buffers.Bytes = 1<<20, 8<<20
}

// crowd sends to all partitions until it is stopped.
func crowd(w *world.World, partitions uint32, every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(w.Context())
	var senders sync.WaitGroup
	for client := range uint32(2) {
		p := w.Producer(producer.WithLinger(5 * time.Millisecond))
		senders.Go(func() {
			for i := uint32(0); ctx.Err() == nil; i++ {
				w.Send(p, client, i%partitions)
				time.Sleep(every)
			}
			_ = p.Close(w.Context()) // the history has what it says
		})
	}
	return func() {
		cancel()
		senders.Wait()
	}
}

// lastOne drains all agents but a new one, which then owns everything.
func lastOne(w *world.World, others ...*world.Agent) {
	w.Helper()
	w.Start()
	for _, a := range others {
		if err := a.Stop(); err != nil {
			w.Errorf("drain: %v", err)
		}
	}
}

// The agents of a cluster are replaced one by one while clients send: no record
// fails, none is lost, doubled or swapped.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := world.New(t)
		w.Share()
		agents := []*world.Agent{w.Start(cloud), w.Start(cloud), w.Start(cloud)}
		w.MustCreateTopic(12)
		stop := crowd(w, 12, 5*time.Millisecond)
		for i := range agents {
			time.Sleep(5 * time.Second)
			old := agents[i]
			agents[i] = w.Start(cloud)
			time.Sleep(5 * time.Second)
			began := time.Now()
			if err := old.Stop(); err != nil {
				t.Errorf("drain: %v", err)
			}
			t.Logf("drained in %s", time.Since(began))
		}
		time.Sleep(5 * time.Second)
		stop()
		if got := w.History.Counts(); got.Acked != got.Sent || got.Sent < 5000 {
			t.Errorf("%v; errors: %v", got, w.Errors())
		}
		lastOne(w, agents...)
		w.Check()
	})
}

// An agent dies while clients send: another takes its place after its lease, and
// no record fails with a client's usual settings.
func TestOwnerDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := world.New(t)
		w.Share()
		dies := w.Start(cloud, world.Faults("op=all,first=900,every=1,kind=err-before"))
		agents := []*world.Agent{w.Start(cloud), w.Start(cloud)}
		w.MustCreateTopic(12)
		time.Sleep(5 * time.Second)
		stop := crowd(w, 12, 5*time.Millisecond)
		for dies.InjectedFaults() == 0 {
			time.Sleep(time.Millisecond)
		}
		dies.Cut()
		time.Sleep(20 * time.Second)
		stop()
		if got := w.History.Counts(); got.Acked != got.Sent || got.Sent < 5000 {
			t.Errorf("%v; errors: %v", got, w.Errors())
		}
		lastOne(w, agents...)
		w.Check()
	})
}

// An agent that does not own a partition names who does, and so does one that
// handed it over just now; both with the address that fits.
func TestHint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := world.New(t)
		w.Share()
		first := w.Start()
		time.Sleep(time.Second)
		second := w.Start()
		w.MustCreateTopic(8)
		time.Sleep(3 * time.Second)
		conns := map[string]*grpc.ClientConn{}
		for _, a := range []*world.Agent{first, second} {
			conns[a.Address()] = w.DialTo(a)
		}
		hints := 0
		for p := range uint32(8) {
			for address, conn := range conns {
				req := &streamhousev1.ProduceRequest{Topic: world.Topic, Partition: p, Records: []*streamhousev1.Record{{Value: []byte("x")}}}
				_, err := streamhousev1.NewProducerServiceClient(conn).Produce(t.Context(), req)
				if err == nil {
					continue
				}
				refusal := reason.From(err)
				hint := refusal.Metadata[reason.MetaOwner]
				if !errors.Is(refusal, reason.NotOwner) || hint == address || conns[hint] == nil {
					t.Errorf("partition %d at %s: %v, with the hint %q", p, address, err, hint)
					continue
				}
				if _, err := streamhousev1.NewProducerServiceClient(conns[hint]).Produce(t.Context(), req); err != nil {
					t.Errorf("partition %d at %s, where %s sent us: %v", p, hint, address, err)
				}
				hints++
			}
		}
		if hints != 8 {
			t.Errorf("%d of 8 partitions are refused by one agent", hints)
		}
		cluster, err := streamhousev1.NewClusterServiceClient(conns[first.Address()]).DescribeCluster(t.Context(), &streamhousev1.DescribeClusterRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if len(cluster.GetAgents()) != 2 || len(cluster.GetPartitions()) != 8 {
			t.Fatalf("described as %v", cluster)
		}
		for _, a := range cluster.GetAgents() {
			if a.GetPartitionCount() < 3 || a.GetPartitionCount() != a.GetAssignedCount() || conns[a.GetAddress()] == nil ||
				a.GetState() != streamhousev1.AgentState_AGENT_STATE_LIVE || a.GetHeartbeatAgoMs() > 1500 {
				t.Errorf("an agent is described as %v", a)
			}
		}
		for _, p := range cluster.GetPartitions() {
			if p.GetOwner() == "" || p.GetOwner() != p.GetAssigned() || p.GetEpoch() == 0 {
				t.Errorf("a partition is described as %v", p)
			}
		}
	})
}
