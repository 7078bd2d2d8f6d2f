package holes

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// The store is so slow that the producer hears of a timeout twice: from the
// agent, and from itself. Either way it sends again.
// Broken to see it fail: a repeat of what was in flight was appended.
func TestHole13_RetryAfterATimeoutAppendsOnce(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"agent's": 30 * time.Second, "producer's": time.Second} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world.World) {
				a := w.Start(world.Faults("op=put,first=1,kind=pause,pause=3900ms",
					fmt.Sprintf("op=row-create,first=%d,kind=pause,pause=6s", journalRow)))
				w.MustCreateTopic(1)
				p := quick(w, producer.WithRequestTimeout(timeout))
				send(w, p, 0, 30)
				flush(w, p)
				if n := a.InjectedFaults(); n != 2 {
					w.Errorf("the store was slow %d times, want 2", n)
				}
				closeAndCheck(w, p)
			})
		})
	}
}

// A call whose last record is refused appends none. And an agent that dies at
// any moment leaves whole batches.
// Broken to see it fail: a call was cut at the record that was too large; and
// its records were appended one by one.
func TestHole14_BatchIsAllOrNothing(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Start(func(c *agent.Config) { c.Limits.MaxBatchBytes = 1000 })
		w.MustCreateTopic(1)
		_, err := produce(w.Context(), streamhousev1.NewProducerServiceClient(w.Dial()), 0, 0, 3, 400)
		if err == nil {
			w.Error("a call above the limit was taken")
		}
		if got := end(w); got != 0 {
			w.Errorf("%d of the 3 records were appended", got)
		}
	})
	const whole = 20
	for n := journalRow; n < journalRow+4; n++ {
		inWorld(t, func(w *world.World) {
			a := w.Start(world.Faults(fmt.Sprintf("op=row-create,first=%d,every=1,kind=err-before", n)))
			w.MustCreateTopic(1)
			calls := streamhousev1.NewProducerServiceClient(w.Dial())
			for range 4 {
				ctx, cancel := context.WithTimeout(w.Context(), time.Second)
				_, _ = produce(ctx, calls, 0, 0, whole, 10) // the agent dies of one of them
				cancel()
			}
			a.Cut()
			w.Start()
			if got, want := end(w), uint64(n-journalRow)*whole; got != want {
				w.Errorf("died at row %d: the log has %d records, want %d", n, got, want)
			}
		})
	}
}

// A batch is taken, its commit fails until the agent dies, and its producer
// sends it again: to the agent that noted it, and to the one that never heard
// of it.
// Broken to see it fail: a batch counted as committed when it was taken.
func TestHole15_RetryOfAFailedWriteIsNoDuplicate(t *testing.T) {
	inWorld(t, func(w *world.World) {
		a := w.Start(world.Faults(fmt.Sprintf("op=row-create,first=%d,every=1,kind=err-before", journalRow+1)))
		w.MustCreateTopic(1)
		calls := streamhousev1.NewProducerServiceClient(w.Dial())
		if _, err := produce(w.Context(), calls, 77, 0, 5, 10); err != nil {
			w.Fatal(err)
		}
		for try := range 2 {
			ctx, cancel := context.WithTimeout(w.Context(), 2*time.Second)
			if got, err := produce(ctx, calls, 77, 1, 2, 10); err == nil {
				w.Errorf("try %d of a batch that cannot be written: success at offset %d", try, got.GetBaseOffset())
			}
			cancel()
		}
		a.Cut()
		w.Start()
		got, err := produce(w.Context(), streamhousev1.NewProducerServiceClient(w.Dial()), 77, 1, 2, 10)
		if err != nil || got.GetBaseOffset() != 5 {
			w.Errorf("the retry: %v, %v; want offset 5", got, err)
		}
		if got := end(w); got != 7 {
			w.Errorf("the log has %d records, want 7", got)
		}
	})
}

// Broken to see it fail: a reader counted the batches of a segment as if each
// began where the first did.
func TestHole16_LargeSegmentsOfManyBatchesKeepTheirOffsets(t *testing.T) {
	inWorld(t, func(w *world.World) {
		a := w.Start(world.Faults("op=put,first=1,kind=pause,pause=1s"), func(c *agent.Config) {
			c.Flush.Bytes, c.Buffers.Bytes, c.Flush.Concurrency = 4<<20, 64<<20, 1
		})
		w.MustCreateTopic(3)
		p := w.Producer(producer.WithCompression(producer.NoCompression), producer.WithBatchRecords(50))
		for i := range uint32(15_000) {
			w.Send(p, 0, i%3)
		}
		flush(w, p)
		stats := w.Stats()
		if s := stats.GetSegmentsCommitted(); s == 0 || stats.GetBytesCommitted()/s < 1<<20 || stats.GetBatchesAppended() < 250 {
			w.Errorf("the segments are too small to prove anything: %d segments, %d batches, %d bytes",
				s, stats.GetBatchesAppended(), stats.GetBytesCommitted())
		}
		if err := a.Stop(); err != nil {
			w.Error(err)
		}
		closeAndCheck(w, p)
	})
}

// Many callers share a producer, its connection and the agent's flushes.
// Broken to see it fail: a flush gave its answers in the reverse order.
func TestHole17_OffsetsOfConcurrentSendsAreNotSwapped(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Start(func(c *agent.Config) { c.Store.PutLatency = "5ms/30ms" })
		w.MustCreateTopic(2)
		p := w.Producer(producer.WithLinger(time.Millisecond), producer.WithBatchRecords(3))
		var senders sync.WaitGroup
		for caller := range uint32(24) {
			senders.Go(func() {
				for i := range uint32(40) {
					w.Send(p, caller, i%2)
					time.Sleep(time.Duration(caller%5) * time.Millisecond)
				}
			})
		}
		senders.Wait()
		closeAndCheck(w, p)
	})
}
