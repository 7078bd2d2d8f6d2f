package holes

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// The object store hangs and producers send on: the agent holds what its
// buffers are set to and pushes back, with a delay to wait. Nothing that it
// took is lost when the store is back.
// Broken to see it fail: a full buffer was no reason to refuse.
func TestHole21_FullBuffersPushBack(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Start(world.Faults("op=put,first=1,every=1,kind=pause,pause=3s"), func(c *agent.Config) {
			c.Flush.Bytes, c.Flush.Concurrency = 64<<10, 16 // all that the buffers hold is written at a time
		})
		w.MustCreateTopic(1)
		calls := streamhousev1.NewProducerServiceClient(w.Dial())
		var mu sync.Mutex
		taken, pushed := uint64(0), 0
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				_, err := produce(w.Context(), calls, 0, 0, 1, 50_000)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					taken++
				case refused(err, reason.Overloaded) && reason.From(err).RetryDelay > 0:
					pushed++
				default:
					w.Errorf("a call to a full agent: %v", err)
				}
			})
		}
		time.Sleep(time.Second)
		if s := w.Stats(); s.GetBufferedBytes() > s.GetBufferLimitBytes() || s.GetBufferLimitBytes() != 1<<20 {
			w.Errorf("%d bytes are buffered, of %d", s.GetBufferedBytes(), s.GetBufferLimitBytes())
		}
		callers.Wait()
		if taken == 0 || pushed < 70 { // 100 of them are five times the buffers
			w.Errorf("%d calls were taken and %d refused", taken, pushed)
		}
		if got := end(w); got != taken {
			w.Errorf("the log has %d records, and %d were acknowledged", got, taken)
		}
	})
}

// Broken to see it fail: RESOURCE_EXHAUSTED without a reason, and TOO_LARGE,
// were retried.
func TestHole22_TooLargeIsPermanent(t *testing.T) {
	inWorld(t, func(w *world.World) {
		a := w.Start(func(c *agent.Config) { c.Limits.MaxBatchBytes = 1000 })
		w.MustCreateTopic(1)
		calls := streamhousev1.NewProducerServiceClient(w.Dial())
		_, err := produce(w.Context(), calls, 0, 0, 1, 20<<20)
		if err == nil {
			w.Fatal("a message above gRPC's limit was taken")
		}
		if e := reason.From(err); e.Code != codes.ResourceExhausted || e.Recovery() != reason.Fail || e.Outcome() != reason.NotDone {
			w.Errorf("a message above gRPC's limit: %v, of which a client makes %v", err, e.Recovery())
		}
		p := quick(w, producer.WithCompression(producer.NoCompression))
		for _, size := range []int{5000, 16 << 20} { // above the agent's limit, and above any
			d := took(func() { _, err = p.Send(w.Context(), producer.Record{Value: []byte(strings.Repeat("x", size))}) })
			if producer.OutcomeOf(err) != producer.NotDone || errors.Is(err, producer.ErrRetriesExhausted) || d > 50*time.Millisecond {
				w.Errorf("a record of %d bytes, after %s: %v", size, d, err)
			}
		}
		if err := a.Stop(); err != nil {
			w.Error(err)
		}
	})
}

// Each PUT takes three seconds. Reads and questions are answered meanwhile, and
// segments are written side by side.
// Broken to see it fail: one segment was written at a time.
func TestHole23_SlowPutStallsNobodyElse(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Start(world.Faults("op=put,first=2,every=1,kind=pause,pause=3s"))
		w.MustCreateTopic(2)
		p := quick(w)
		w.Send(p, 0, 0)
		flush(w, p)
		slow := took(func() {
			for range 3 {
				w.Send(p, 0, 1)
				time.Sleep(50 * time.Millisecond)
				d := took(func() {
					if got := end(w); got != 1 {
						w.Errorf("the log ends at %d, want 1", got)
					}
					if _, err := w.Read(time.Second); err != nil {
						w.Error(err)
					}
					w.Stats()
				})
				if d > 10*time.Millisecond {
					w.Errorf("reads and questions took %s while a segment was written", d)
				}
			}
			flush(w, p)
		})
		if slow > 4*time.Second {
			w.Errorf("three flushes took %s; one takes 3 s", slow)
		}
		closeAndCheck(w, p)
	})
}

// Broken to see it fail: the catalog did not remember topics.
func TestHole24_NoMetadataReadPerRequest(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Start()
		w.MustCreateTopic(1)
		conn := w.Dial()
		calls, consumer := streamhousev1.NewProducerServiceClient(conn), streamhousev1.NewConsumerServiceClient(conn)
		before := w.Stats().GetStoreRequests()
		for i := range uint64(1000) {
			if _, err := produce(w.Context(), calls, 0, 0, 1, 10); err != nil {
				w.Fatal(err)
			}
			if _, err := consumer.Fetch(w.Context(), &streamhousev1.FetchRequest{Topic: world.Topic, Offset: i}); err != nil {
				w.Fatal(err)
			}
		}
		after := w.Stats().GetStoreRequests()
		if n := after["read"] - before["read"]; n > 5 { // the host looks around now and then
			w.Errorf("1000 records cost %d reads of rows", n)
		}
		if n := after["get"] - before["get"]; n > 0 {
			w.Errorf("reading 1000 records behind the producer cost %d GETs", n)
		}
	})
}
