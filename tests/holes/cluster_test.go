package holes

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// described is partition 0 as an agent tells it.
func described(w *world.World, a *world.Agent) *streamhousev1.Partition {
	w.Helper()
	topics := streamhousev1.NewTopicServiceClient(w.DialTo(a))
	found, err := topics.DescribeTopic(w.Context(), &streamhousev1.DescribeTopicRequest{Name: world.Topic})
	if err != nil {
		w.Fatal(err)
	}
	return found.GetPartitions()[0]
}

// leaveAndCheck is closeAndCheck where an agent lives beside the new one, and
// would keep what the check wants to read.
func leaveAndCheck(w *world.World, a *world.Agent, p *producer.Producer) {
	w.Helper()
	w.Start()
	if err := a.Stop(); err != nil {
		w.Error(err)
	}
	if err := p.Close(w.Context()); err != nil {
		w.Errorf("close: %v", err)
	}
	w.Check()
}

// A drain has segments to write that take two seconds. Until they are committed
// the partition stays whose it is; then the other agent has it, with all of it.
// Broken to see it fail: a release did not wait for the flushes under way.
func TestHole05_DrainReleasesAfterTheFlush(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Share()
		slow := func(c *agent.Config) { c.Store.PutLatency = "2s/2s" }
		first, other := w.Start(slow), w.Start(slow)
		time.Sleep(2 * world.Heartbeat) // they know each other
		w.MustCreateTopic(1)
		if described(w, first).GetAddress() != first.Address() {
			first, other = other, first
		}
		owner := described(w, first).GetOwner()
		p := quick(w)
		send(w, p, 0, 20)
		time.Sleep(100 * time.Millisecond) // they are taken
		ended := make(chan error, 1)
		go func() { ended <- first.Stop() }()
		time.Sleep(time.Second)
		if acked := w.History.Counts().Acked; acked > 0 {
			w.Fatalf("%d records are committed already: it proves nothing", acked)
		}
		if now := described(w, other).GetOwner(); now != owner {
			w.Errorf("the partition went from %s to %q with batches on their way", owner, now)
		}
		if err := <-ended; err != nil {
			w.Error(err)
		}
		flush(w, p)
		time.Sleep(2 * world.Heartbeat)
		if now := described(w, other); now.GetOwner() == owner || now.GetOwner() == "" {
			w.Errorf("after the drain the partition belongs to %q", now.GetOwner())
		}
		leaveAndCheck(w, other, p)
	})
}

// The epoch rises with the owner and with nothing else, also when nobody owned
// the partition in between.
// Broken to see it fail, one after the other: a release removed the epoch; an
// acquisition kept it.
func TestHole08_EpochIsAFencingToken(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Share()
		a := w.Start()
		w.MustCreateTopic(1)
		p := quick(w)
		for epoch := uint64(1); epoch <= 5; epoch++ {
			send(w, p, 0, 1)
			flush(w, p)
			time.Sleep(10 * world.Heartbeat)
			if got := described(w, a).GetEpoch(); got != epoch {
				w.Errorf("epoch %d with owner number %d", got, epoch)
			}
			if err := a.Stop(); err != nil {
				w.Error(err)
			}
			a = w.Start()
		}
		leaveAndCheck(w, a, p)
	})
}

// A PUT is on its way while another agent takes over and writes the same
// offsets. It lands late, and harms nobody.
// Broken to see it fail: keys were made of the segment's number alone, and a PUT
// replaced what it found.
func TestHole09_LatePutOverwritesNothing(t *testing.T) {
	inWorld(t, func(w *world.World) {
		first := w.Start(world.Faults("op=put,first=2,kind=late,pause=3s", "op=put,first=3,every=1,kind=err-before"))
		w.MustCreateTopic(1)
		p := quick(w)
		send(w, p, 0, 1)
		flush(w, p)
		send(w, p, 0, 5) // on its way for 3 s
		time.Sleep(100 * time.Millisecond)
		w.Start()
		flush(w, p)
		send(w, p, 0, 3)
		flush(w, p)
		if first.InjectedFaults() < 2 {
			w.Fatal("no PUT was late")
		}
		time.Sleep(5 * time.Second) // it has landed
		closeAndCheck(w, p)
	})
}

// The row that makes a partition an agent's cannot be written, five times.
// Broken to see it fail: what could not be acquired was never tried again.
func TestHole18_FailedAcquisitionIsTriedAgain(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Share()
		var rules []string
		for n := range 5 { // the session, the topic's id and the topic come first
			rules = append(rules, fmt.Sprintf("op=row-create,first=%d,kind=err-before", 4+n))
		}
		a := w.Start(world.Faults(rules...))
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		if err := w.CreateTopic(ctx, 1); err != nil {
			w.Fatal(err)
		}
		p := quick(w)
		send(w, p, 0, 10)
		flush(w, p)
		if n := a.InjectedFaults(); n != 5 {
			w.Errorf("%d acquisitions failed, want 5", n)
		}
		if err := a.Stop(); err != nil {
			w.Error(err)
		}
		closeAndCheck(w, p)
	})
}

// Records with a key go where other clients put them: the hashes are those that
// the Java client's tests pin. Records without a key are spread by batches, not
// by the clock.
// Broken to see it fail: another seed of the hash.
func TestHole25_KeysGoWhereOtherClientsPutThem(t *testing.T) {
	hashes := map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	}
	inWorld(t, func(w *world.World) {
		const partitions = 7
		w.Start()
		w.MustCreateTopic(partitions)
		p := quick(w, producer.WithPartitioner(producer.ByKey()))
		for key, hash := range hashes {
			ack, err := p.Send(w.Context(), producer.Record{Key: []byte(key), Value: []byte("x")})
			if want := uint32(hash&0x7fffffff) % partitions; err != nil || ack.Partition != want {
				w.Errorf("%q went to partition %d, want %d: %v", key, ack.Partition, want, err)
			}
		}
		used := map[uint32]bool{}
		for range 100 {
			ack, err := p.Send(w.Context(), producer.Record{Value: []byte("x")})
			if err != nil {
				w.Fatal(err)
			}
			used[ack.Partition] = true
		}
		if len(used) != partitions {
			w.Errorf("records without a key went to %d of %d partitions", len(used), partitions)
		}
	})
}
