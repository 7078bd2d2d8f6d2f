package faults

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// A client that waits for its topic's partitions must not make the agent ask a
// store that fails at once as fast as it can.
func TestFailingStoreIsNotStormed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := world.New(t)
		// The first three rows are those of the session, the topic's id and the topic.
		w.Start(world.Faults("op=row-create,first=4,every=1,kind=err-before,pause=1ms"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := w.CreateTopic(ctx, 1); err == nil {
			t.Fatal("a topic without partitions was made")
		}
		if n := w.Stats().GetStoreRequests()["write"]; n > 200 {
			t.Errorf("%d writes in 5 s", n)
		}
	})
}

// An agent that is not yet registered in its store owns nothing, and says so:
// its clients must not use their retries up, nor think that their records could
// be in the log.
func TestRecordsWaitForAnAgentThatIsSlowToJoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := world.New(t)
		first := w.Start()
		w.MustCreateTopic(1)
		p := w.Producer()
		w.Send(p, 0, 0)
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := first.Stop(); err != nil {
			t.Fatal(err)
		}
		w.Launch(world.At(0), world.Faults("op=row-create,first=1,kind=pause,pause=30s"))
		w.Send(p, 0, 0)
		if err := p.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		w.Check()
	})
}

// A read that its client gave up must not outlive the agent, and use the store
// after it was closed. Here the bubble would not end.
func TestAbandonedReadEndsWithItsAgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := world.New(t)
		first := w.Start()
		w.MustCreateTopic(1)
		p := w.Producer(producer.WithLinger(0))
		w.Send(p, 0, 0)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := first.Stop(); err != nil {
			t.Fatal(err)
		}
		// The next agent's first read is that of the producers' state.
		second := w.Start(world.Faults("op=get,first=2,every=1,kind=pause,pause=20s"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := streamhousev1.NewConsumerServiceClient(w.Dial()).Fetch(ctx, &streamhousev1.FetchRequest{Topic: world.Topic})
		if err == nil || second.InjectedFaults() == 0 {
			t.Fatalf("fetch: %v; it should have waited for the store", err)
		}
		stopped := time.Now()
		if err := second.Stop(); err != nil {
			t.Error(err)
		}
		if d := time.Since(stopped); d > 5*time.Second {
			t.Errorf("the agent took %s to end", d)
		}
	})
}
