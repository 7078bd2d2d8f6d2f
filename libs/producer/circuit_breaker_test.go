package producer_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

func breaking(failures int, openFor time.Duration, more ...producer.Option) []producer.Option {
	return single(append(more, producer.WithCircuitBreaker(producer.CircuitBreakerPolicy{Failures: failures, OpenFor: openFor}))...)
}

// away makes b the owner of partition 0, and a record known to it, and kills it.
func (w *world) away() {
	w.Helper()
	w.cluster.Move(topic, 0, "b")
	w.send(0, 0)
	w.flush()
	w.cluster.Kill("b")
	synctest.Wait()
}

// While the breaker is open nobody dials the agent, however much is sent for
// it; then one does, whatever the number of connections. The topic's owners are
// asked for all the while.
func TestBreakerStopsDialing(t *testing.T) {
	for _, connections := range []int{1, 3} {
		inWorld(t, breaking(3, 10*time.Second, producer.WithConnections(connections)), func(w *world) {
			for partition := range 3 {
				w.cluster.Move(topic, partition, "b")
			}
			for partition := range int32(3) {
				w.sendTo(partition, 0, 0)
			}
			w.flush()
			w.cluster.Kill("b")
			synctest.Wait()
			for partition := range int32(3) {
				w.sendTo(partition, 1, 1)
			}
			time.Sleep(2 * time.Second) // enough for three failures
			if got := producer.Breaker(w.producer, producertest.Address("b")); got != "open" {
				w.Fatalf("the breaker is %s", got)
			}
			before, attempts := w.cluster.Counts(), len(w.gotAttempts())
			for n := range 7 {
				w.sendTo(0, 10+n, 10+n)
				time.Sleep(time.Second)
			}
			after := w.cluster.Counts()
			if after.Dials != before.Dials || after.Streams != before.Streams || len(w.gotAttempts()) != attempts {
				w.Fatalf("while open: %d dials, %d streams, %d batches", after.Dials-before.Dials, after.Streams-before.Streams, len(w.gotAttempts())-attempts)
			}
			if got := after.Described - before.Described; got < 6 || got > 3*7 {
				w.Fatalf("the topic was described %d times in 7 s", got)
			}
			time.Sleep(100 * time.Second)
			if got := w.cluster.Counts().Dials - after.Dials; got < 9 || got > 11 {
				w.Fatalf("%d dials in 100 s, want a probe every 10 s", got)
			}
		})
	}
}

// A half-open breaker lets one batch through. Its answer lets the others follow.
func TestBreakerProbesWithOneBatch(t *testing.T) {
	inWorld(t, breaking(3, 5*time.Second), func(w *world) {
		for partition := range 3 { // each has its own queue at the agent
			w.cluster.Move(topic, partition, "b")
		}
		w.away()
		for partition := range int32(3) {
			w.sendTo(partition, 1, 5)
		}
		time.Sleep(2 * time.Second)
		attempts := len(w.gotAttempts())
		release := make(chan struct{})
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Wait: release} })
		w.cluster.Start("b")
		time.Sleep(10 * time.Second)
		if got := len(w.gotAttempts()) - attempts; got != 1 {
			w.Fatalf("%d batches were sent to an agent that has not answered", got)
		}
		close(release)
		w.flush()
		if w.values(0) != numbers(0, 5) || w.values(1) != numbers(1, 5) || w.values(2) != numbers(1, 5) {
			w.Fatalf("the logs hold %s, %s, %s", w.values(0), w.values(1), w.values(2))
		}
		if got := producer.Breaker(w.producer, producertest.Address("b")); got != "closed" {
			w.Fatalf("the breaker is %s", got)
		}
	})
}

// Another owner is followed while the breaker is open: long before it would
// let anybody through.
func TestBreakerDoesNotHoldUpAFailover(t *testing.T) {
	inWorld(t, breaking(3, time.Minute), func(w *world) {
		w.away()
		w.send(1, 9)
		time.Sleep(12 * time.Second)
		w.cluster.Move(topic, 0, "c")
		w.flush()
		w.checkAcked(0, 9)
		if late := now() - 12*time.Second; late > 1100*time.Millisecond {
			w.Fatalf("took %v longer than the failover", late)
		}
	})
}

// With default settings an agent that comes back after 12 seconds is found
// within a second.
func TestBreakerDoesNotHoldUpARestart(t *testing.T) {
	for _, connections := range []int{1, 3} {
		inWorld(t, options(producer.WithConnections(connections)), func(w *world) {
			for partition := range 3 {
				w.cluster.Move(topic, partition, "b")
			}
			w.away()
			for partition := range int32(3) {
				w.sendTo(partition, 1, 9)
			}
			time.Sleep(12 * time.Second)
			w.cluster.Start("b")
			w.flush()
			if late := now() - 12*time.Second; late > 1300*time.Millisecond { // linger, 1 s, the others' 100 ms
				w.Fatalf("took %v longer than the restart", late)
			}
		})
	}
}

// What waits at an open breaker runs into its delivery timeout, and says why.
func TestDeliveryTimeoutGoesOnWhileOpen(t *testing.T) {
	inWorld(t, breaking(2, time.Hour, producer.WithDeliveryTimeout(20*time.Second)), func(w *world) {
		w.away()
		w.send(1, 1)
		w.flushFailing(producer.ErrDeliveryTimeout)
		if now() != 20*time.Second {
			w.Fatalf("took %v", now())
		}
		got := w.gotResults()[1]
		checkFailed(t, got, 1, producer.NotDone, producer.ErrDeliveryTimeout)
		if !strings.Contains(got.err.Error(), "connection refused") {
			w.Fatalf("unclear: %v", got.err)
		}
	})
}

// An agent that answers is alive, whatever it answers, and also one that ends
// its streams for a reason.
func TestRefusalsDoNotOpenTheBreaker(t *testing.T) {
	for name, reply := range map[string]producertest.Reply{
		"not owner":     {Err: reason.New(reason.NotOwner, "not mine")},
		"overloaded":    {Err: reason.New(reason.Overloaded, "busy").After(time.Second)},
		"storage":       {Err: reason.New(reason.StorageUnavailable, "no store")},
		"draining":      {Break: reason.New(reason.Draining, "bye")},
		"end of stream": {Break: producertest.Status(codes.OK, "")},
	} {
		t.Run(name, func(t *testing.T) {
			var out syncBuffer
			inWorld(t, breaking(1, time.Hour, producer.WithLogger(slog.New(slog.NewTextHandler(&out, nil))), producer.WithDeliveryTimeout(20*time.Second)), func(w *world) {
				w.script(func(*producertest.Attempt) producertest.Reply { return reply })
				w.send(0, 5)
				if err := w.producer.Flush(w.Context()); err != nil {
					_ = err // that they fail is not the question
				}
				if strings.Contains(out.String(), "circuit breaker") || len(w.gotAttempts()) < 2 {
					w.Fatalf("%d attempts; the log says %s", len(w.gotAttempts()), out.String())
				}
			})
		})
	}
}

// An agent that takes batches and answers none opens it too, and an answer
// closes it.
func TestSilenceOpensTheBreaker(t *testing.T) {
	var out syncBuffer
	log := producer.WithLogger(slog.New(slog.NewTextHandler(&out, nil)))
	inWorld(t, breaking(2, 10*time.Second, log, producer.WithRequestTimeout(3*time.Second)), func(w *world) {
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Silent: true} })
		w.send(0, 9)
		time.Sleep(7 * time.Second)
		attempts := len(w.gotAttempts())
		if !strings.Contains(out.String(), "circuit breaker opened") || attempts != 20 {
			w.Fatalf("%d attempts; the log says %s", attempts, out.String())
		}
		time.Sleep(8 * time.Second)
		if got := len(w.gotAttempts()); got != attempts {
			w.Fatalf("%d batches were sent while open", got-attempts)
		}
		w.script(nil)
		w.flush()
		w.checkAcked(0, 9)
		if now() > 20*time.Second || !strings.Contains(out.String(), "circuit breaker closed") {
			w.Fatalf("took %v; the log says %s", now(), out.String())
		}
	})
}

// slowToken takes a second to be had for every stream.
type slowToken struct{ token }

func (slowToken) GetRequestMetadata(_ context.Context, uri ...string) (map[string]string, error) {
	if strings.Contains(uri[0], "ProducerService") {
		time.Sleep(time.Second)
	}
	return nil, nil
}

// The probe's batch goes elsewhere while the probe's stream is opened. Another
// partition's batch is the probe then, at once.
func TestProbeIsHandedOn(t *testing.T) {
	for moving := range 2 {
		inWorld(t, breaking(2, time.Second, producer.WithConnections(2), producer.WithPerRPCCredentials(slowToken{})), func(w *world) {
			for partition := range 2 {
				w.cluster.Move(topic, partition, "b")
			}
			for partition := range int32(3) {
				w.sendTo(partition, 0, 0)
			}
			w.flush()
			w.cluster.Kill("b")
			synctest.Wait()
			w.sendTo(0, 1, 1)
			w.sendTo(1, 1, 1)
			time.Sleep(5 * time.Second)
			w.cluster.Start("b")
			for dials := w.cluster.Counts().Dials; w.cluster.Counts().Dials == dials; {
				time.Sleep(time.Millisecond)
			}
			synctest.Wait() // connected
			w.cluster.Move(topic, moving, "c")
			w.script(once(1, reason.New(reason.Draining, "look again"))) // of partition 2
			w.sendTo(2, 1, 1)
			start := now()
			w.flush()
			if took := now() - start; took > 5*time.Second {
				w.Fatalf("took %v", took)
			}
		})
	}
}
