package holes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// The segment stands in the object store, its row is under way: that is not
// yet durable.
// Broken to see it fail: flush answered before it appended to the journal.
func TestHole01_NoAcknowledgementBeforeTheJournalRow(t *testing.T) {
	inWorld(t, func(w *world.World) {
		a := w.Start(world.Faults(fmt.Sprintf("op=row-create,first=%d,kind=pause,pause=2s", journalRow)))
		w.MustCreateTopic(1)
		p := quick(w)
		send(w, p, 0, 1)
		time.Sleep(time.Second)
		if puts := w.Stats().GetStoreRequests()["put"]; puts != 1 {
			w.Fatalf("%d segments are written, want 1", puts)
		}
		if n := w.History.Counts().Acked; n != 0 {
			w.Error("a record was acknowledged that a crash would have lost")
		}
		time.Sleep(1500 * time.Millisecond)
		if n := w.History.Counts().Acked; n != 1 {
			w.Error("the record was not acknowledged when its row stood")
		}
		a.Cut()
		closeAndCheck(w, p)
	})
}

// Eight PUTs fail, for about five seconds, which is longer than producers wait
// for their answers.
// Broken to see it fail: an upload gave up after three tries.
func TestHole02_FailedPutsKeepTheData(t *testing.T) {
	inWorld(t, func(w *world.World) {
		var rules []string
		for n := range 8 {
			rules = append(rules, fmt.Sprintf("op=put,first=%d,kind=err-before", n+1))
		}
		a := w.Start(world.Faults(rules...))
		w.MustCreateTopic(1)
		p := quick(w)
		send(w, p, 0, 50)
		flush(w, p)
		if n := a.InjectedFaults(); n != 8 {
			w.Errorf("%d PUTs failed, want 8", n)
		}
		if err := a.Stop(); err != nil {
			w.Error(err)
		}
		closeAndCheck(w, p)
	})
}

// Broken to see it fail: the journal returned the first error.
func TestHole03_FailedCommitsKeepTheData(t *testing.T) {
	inWorld(t, func(w *world.World) {
		var rules []string
		for n := range 6 {
			rules = append(rules, fmt.Sprintf("op=row-create,first=%d,kind=err-before", journalRow+n))
		}
		a := w.Start(world.Faults(rules...))
		w.MustCreateTopic(1)
		p := quick(w)
		send(w, p, 0, 50)
		flush(w, p)
		if n := a.InjectedFaults(); n != 6 {
			w.Errorf("%d commits failed, want 6", n)
		}
		if err := a.Stop(); err != nil {
			w.Error(err)
		}
		closeAndCheck(w, p)
	})
}

// Two calls wait for one segment; the first is cancelled while it is written.
// Broken to see it fail: uploads ran under the context of the first call.
func TestHole04_CancelledRequestDoesNotAbortTheSegment(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Start(world.Faults("op=put,first=2,kind=pause,pause=1s"), func(c *agent.Config) { c.Flush.MaxPerSecond = 2 })
		w.MustCreateTopic(1)
		calls := streamhousev1.NewProducerServiceClient(w.Dial())
		if _, err := produce(w.Context(), calls, 0, 0, 1, 10); err != nil { // the next flush is in half a second
			w.Fatal(err)
		}
		ctx, cancel := context.WithCancel(w.Context())
		defer cancel()
		var cancelled, other error
		var both sync.WaitGroup
		both.Go(func() { _, cancelled = produce(ctx, calls, 0, 0, 2, 10) })
		time.Sleep(10 * time.Millisecond)
		both.Go(func() { _, other = produce(w.Context(), calls, 0, 0, 3, 10) })
		time.Sleep(time.Second)
		if w.Stats().GetBufferedBytes() == 0 {
			w.Fatal("no flush is under way")
		}
		cancel()
		both.Wait()
		if cancelled == nil {
			w.Error("the first call was not cancelled")
		}
		if other != nil {
			w.Errorf("the other call in the segment: %v", other)
		}
		if got := end(w); got != 6 {
			w.Errorf("the log has %d records, want 6: what was taken is committed", got)
		}
	})
}

// An agent loses its partition to another one, which appends, and gets it back.
// Broken to see it fail: an agent that had owned the partition went on at the
// offset that it remembered.
func TestHole06_RegainedLeaseGoesOnAtTheLogsEnd(t *testing.T) {
	inWorld(t, func(w *world.World) {
		first := w.Start()
		w.MustCreateTopic(1)
		p := quick(w)
		send(w, p, 0, 5)
		flush(w, p)
		second := w.Start()
		send(w, p, 0, 7)
		flush(w, p)
		time.Sleep(2 * world.Heartbeat) // the first learns of it, and takes the partition back
		if err := second.Stop(); err != nil {
			w.Logf("the second agent, which had lost its session: %v", err)
		}
		send(w, p, 0, 3)
		flush(w, p)
		if err := first.Stop(); err != nil {
			w.Error(err)
		}
		closeAndCheck(w, p)
	})
}

// Broken to see it fail, one after the other: the producer dropped the error of
// a failed batch; its Close returned nil; its Flush sent full batches only.
func TestHole07_ClientReportsWhatFailedAndFlushesAll(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Start(func(c *agent.Config) { c.Limits.MaxBatchBytes = 1000 })
		w.MustCreateTopic(2)
		p := w.Producer(producer.WithLinger(time.Hour), producer.WithDeliveryTimeout(2*time.Hour))
		w.Send(p, 0, 1)
		if d := took(func() { flush(w, p) }); d > time.Minute {
			w.Errorf("a partial batch took %s to be flushed", d)
		}
		var told error
		p.SendAsync(w.Context(), producer.Record{Value: make([]byte, 5000), Partition: 0, Headers: incompressible(5000)},
			func(_ producer.Ack, err error) { told = err })
		if err := p.Flush(w.Context()); !errors.Is(err, reason.TooLarge) {
			w.Errorf("flush after a failed batch: %v", err)
		}
		if producer.OutcomeOf(told) != producer.NotDone || !errors.Is(told, reason.TooLarge) {
			w.Errorf("the record's callback got: %v", told)
		}
		if err := p.Close(w.Context()); !errors.Is(err, reason.TooLarge) {
			w.Errorf("close after a failed batch: %v", err)
		}
		w.Check()
	})
}

// incompressible is a header of random bytes.
func incompressible(n int) []producer.Header {
	b := make([]byte, n)
	for i, x := 0, uint32(1); i < n; i++ {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return []producer.Header{{Key: "random", Value: b}}
}
