package producer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// Partitions that were added are used within the metadata's age, though nothing
// ever failed.
func TestAddedPartitionsAreNoticed(t *testing.T) {
	inWorld(t, keyless(), func(w *world) {
		w.trickle(10)
		w.flush()
		time.Sleep(time.Minute)
		w.cluster.Grow(topic, "b", "b", "b", "b")
		time.Sleep(5 * time.Minute)
		w.trickle(2000)
		w.flush()
		for partition := 3; partition < 7; partition++ {
			if got := len(w.cluster.Records(topic, partition)); got < 100 {
				w.Errorf("partition %d got %d of 2000 records", partition, got)
			}
		}
	})
}

// Keys follow the number of partitions, as with Kafka's clients.
func TestKeysMoveWhenPartitionsAreAdded(t *testing.T) {
	inWorld(t, options(producer.WithPartitioner(producer.ByKey()), producer.WithMetadataMaxAge(time.Second)), func(w *world) {
		where := func() (at [100]uint32) {
			for n := range at {
				ack, err := w.producer.Send(w.Context(), producer.Record{Key: fmt.Append(nil, n)})
				if err != nil {
					w.Fatal(err)
				}
				at[n] = ack.Partition
			}
			return at
		}
		before := where()
		w.cluster.Grow(topic, "b")
		time.Sleep(time.Second)
		after := where()
		moved := 0
		for n := range before {
			if before[n] != after[n] {
				moved++
			}
		}
		if moved < 50 || moved > 95 { // three in four, on average
			w.Fatalf("%d of 100 keys moved", moved)
		}
	})
}

// The topic is described about as often as it should be, and not in step.
func TestRefreshesAreStaggered(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.send(0, 0)
		w.flush()
		var mu sync.Mutex
		var times []time.Duration
		w.cluster.OnDescribe(func(string) error {
			mu.Lock()
			defer mu.Unlock()
			times = append(times, now())
			return nil
		})
		time.Sleep(100 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if n := len(times); n < 20 || n > 25 {
			w.Fatalf("described %d times in 100 minutes", n)
		}
		same := 0
		for i := 2; i < len(times); i++ {
			if times[i]-times[i-1] == times[i-1]-times[i-2] {
				same++
			}
		}
		if same > 1 {
			w.Fatalf("described at %v", times)
		}
	})
}

// A refresh that nobody answers harms nothing and ends.
func TestRefreshThatFails(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.send(0, 0)
		w.flush()
		w.cluster.OnDescribe(func(string) error { return status.Error(codes.Unavailable, "down") })
		time.Sleep(time.Hour)
		if got := w.cluster.Counts().Described; got > 20 {
			w.Fatalf("described %d times in an hour", got)
		}
		w.send(1, 1)
		w.flush()
		w.checkAcked(0, 1)
	})
}

// A deleted topic is noticed while nothing is sent: the next record fails, or
// finds the new topic of that name, without a detour.
func TestRefreshNoticesADeletedTopic(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.send(0, 0)
		w.flush()
		w.cluster.CreateTopic(topic, "b")
		time.Sleep(5 * time.Minute)
		ack, err := w.producer.Send(w.Context(), producer.Record{})
		if err != nil || ack.Offset != 0 {
			w.Fatalf("got %v, %v", ack, err)
		}
	})
}

func (w *world) producerAt(target string, opts ...producer.Option) *producer.Producer {
	w.Helper()
	p, err := producer.New(w.Context(), target, append(options(producer.WithDialOptions(w.cluster.Dialer()), producer.WithTopic(topic)), opts...)...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = p.Close(w.Context()) })
	return p
}

// Any of the addresses is enough, at the start and later.
func TestSeveralAddresses(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.cluster.CreateTopic(topic, "c")
		w.cluster.CreateTopic("other", "c")
		w.cluster.CreateTopic("third", "c")
		p := w.producerAt(producertest.Address("a")+", "+producertest.Address("b")+","+producertest.Address("c"), producer.WithLinger(0))
		w.cluster.Kill("a")
		send := func(topic string) {
			w.Helper()
			if _, err := p.Send(w.Context(), producer.Record{Topic: topic}); err != nil {
				w.Fatal(err)
			}
		}
		send(topic)
		w.cluster.Kill("b")
		send("other")
		w.cluster.Start("a")
		w.cluster.Kill("c")
		w.cluster.Move("third", 0, "a")
		send("third")
		if now() > time.Second {
			w.Fatalf("took %v", now())
		}
	})
}

// An agent that takes questions and does not answer is passed over, and is not
// the first to be asked the next time.
func TestAddressThatHangs(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.cluster.CreateTopic("other", "c")
		hang := grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			if address == "b" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return w.cluster.Dial(ctx, address)
		})
		p := w.producerAt(producertest.Address("b")+","+producertest.Address("a"), producer.WithDialOptions(hang), producer.WithLinger(0))
		for _, name := range []string{topic, "other"} {
			if _, err := p.Send(w.Context(), producer.Record{Topic: name}); err != nil {
				w.Fatal(err)
			}
		}
		check(w.T, "time", now(), time.Second) // once
	})
}

// What the agents agree on is not asked of all of them.
func TestUnknownTopicIsAskedForOnce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.producerAt(producertest.Address("a") + "," + producertest.Address("b"))
		if _, err := p.Send(w.Context(), producer.Record{Topic: "nope"}); !isError(err, reason.UnknownTopic) {
			w.Fatalf("got %v", err)
		}
		check(w.T, "questions", w.cluster.Counts().Described, 1)
		check(w.T, "time", now(), time.Duration(0))
	})
}

// Nobody is there: the caller's context ends the wait, and the error says why.
func TestNoAddressAnswers(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, name := range agents {
			w.cluster.Kill(name)
		}
		p := w.producerAt(producertest.Address("a") + "," + producertest.Address("b"))
		ctx, cancel := context.WithTimeoutCause(w.Context(), 3*time.Second, errors.New("too late"))
		defer cancel()
		_, err := p.Send(ctx, producer.Record{})
		if producer.OutcomeOf(err) != producer.NotDone || !strings.Contains(err.Error(), "too late") || !strings.Contains(err.Error(), "connection refused") {
			w.Fatalf("got %v", err)
		}
		synctest.Wait()
	})
}
