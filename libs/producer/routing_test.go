package producer_test

import (
	"bytes"
	"context"
	"slices"
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

// Hole 19: NOT_FOUND was permanent to the client, so every rebalance dropped
// batches. Here the owner moves with batches in flight, and moves again.
func TestOwnerMovesWithBatchesInFlight(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		n := 0
		for _, owner := range []string{"b", "c", "a", "b"} {
			w.send(n, n+49)
			synctest.Wait()
			w.cluster.Move(topic, 0, owner)
			w.send(n+50, n+99)
			n += 100
		}
		w.flush()
		w.checkAcked(0, n-1)
		if took := now(); took > time.Second {
			w.Fatalf("took %v", took)
		}
	})
}

// The agent's hint is followed at once, without asking for the topic.
func TestNotOwnerHintIsFollowed(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.send(0, 0)
		w.flush()
		described := w.cluster.Counts().Described
		w.cluster.Move(topic, 0, "b")
		w.send(1, 1)
		w.flush()
		w.checkAcked(0, 1)
		if got := w.gotAttempts(); got[2].Agent != "b" || got[2].at != 0 {
			w.Fatalf("third attempt went to %s after %v", got[2].Agent, got[2].at)
		}
		if got := w.cluster.Counts().Described; got != described {
			w.Fatalf("the topic was described %d times more", got-described)
		}
	})
}

// Whatever an agent says when it loses a partition, the record gets to the new
// owner and costs no retry.
func TestOwnerChangeReasons(t *testing.T) {
	for _, why := range []reason.Reason{reason.NotOwner, reason.LeaseExpired, reason.Draining, reason.Fenced} {
		t.Run(string(why), func(t *testing.T) {
			policy := producer.DefaultRetryPolicy()
			policy.MaxRetries = 0
			inWorld(t, single(producer.WithRetryPolicy(policy)), func(w *world) {
				w.script(func(a *producertest.Attempt) producertest.Reply {
					if a.Agent == "a" {
						return producertest.Reply{Err: reason.New(why, "not here")}
					}
					return producertest.Reply{}
				})
				w.send(0, 9)
				time.Sleep(3 * time.Second)
				w.cluster.Move(topic, 0, "b")
				w.flush()
				w.checkAcked(0, 9)
			})
		})
	}
}

// An agent that is killed loses what it had not answered; its successor takes
// over 12 seconds later. With default settings that fails no record.
func TestFailoverFailsNoRecord(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.cluster.Move(topic, 0, "b")
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Agent == "b" && a.Header.Sequence >= 3 {
				// Some are appended and their answers lost.
				return producertest.Reply{Append: a.Header.Sequence < 5, Silent: true}
			}
			return producertest.Reply{}
		})
		w.send(0, 999)
		synctest.Wait()
		w.cluster.Kill("b")
		w.send(1000, 1499)
		time.Sleep(12 * time.Second)
		w.cluster.Move(topic, 0, "c")
		w.flush()
		w.checkAcked(0, 1499)
		if late := now() - 12*time.Second; late > 2*time.Second {
			w.Fatalf("took %v longer than the failover", late)
		}
	})
}

func TestAgentRestartsAtItsAddress(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.send(0, 99)
		w.flush()
		w.cluster.Kill("a")
		w.send(100, 199)
		time.Sleep(5 * time.Second)
		w.cluster.Start("a")
		w.flush()
		w.checkAcked(0, 199)
	})
}

// Everything in flight on a stream that breaks is sent again, byte by byte the
// same, whether it was appended or not.
func TestStreamResetWithBatchesInFlight(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			switch {
			case a.Stream == 1 && a.Header.Sequence == 6:
				return producertest.Reply{Break: producertest.Status(codes.Unavailable, "connection reset")}
			case a.Stream == 1 && a.Header.Sequence >= 3:
				return producertest.Reply{Append: true, Silent: true}
			}
			return producertest.Reply{}
		})
		w.send(0, 9)
		w.flush()
		w.checkAcked(0, 9)
		first := map[uint64][]byte{}
		for _, a := range w.gotAttempts() {
			if data := first[a.Header.Sequence]; data != nil && !bytes.Equal(data, a.Data) {
				w.Fatalf("sequence %d was sent with other bytes", a.Header.Sequence)
			}
			first[a.Header.Sequence] = a.Data
		}
	})
}

// The agent ends the stream in good order, as when it drains.
func TestStreamEndedByTheAgent(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Stream < 3 && a.Header.Sequence == 2 {
				return producertest.Reply{Break: producertest.Status(codes.OK, "")}
			}
			return producertest.Reply{}
		})
		w.send(0, 4)
		w.flush()
		w.checkAcked(0, 4)
	})
}

func TestRequestTimeoutResendsOnANewStream(t *testing.T) {
	inWorld(t, single(producer.WithRequestTimeout(4*time.Second)), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			return producertest.Reply{Silent: a.Stream == 1}
		})
		w.send(0, 0)
		time.Sleep(3 * time.Second)
		w.send(1, 1)
		w.flush()
		w.checkAcked(0, 1)
		got := w.gotAttempts()
		if len(got) != 4 || got[2].at != 4*time.Second || got[2].Stream != 2 {
			w.Fatalf("%d attempts, the third on stream %d after %v", len(got), got[2].Stream, got[2].at)
		}
	})
}

// The default request timeout is not reached by batches that are answered,
// however long the stream lives.
func TestRequestTimeoutCountsFromEachBatch(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Delay: 20 * time.Second} })
		for n := range 10 {
			w.send(n, n)
			time.Sleep(21 * time.Second)
		}
		w.flush()
		w.checkAcked(0, 9)
		if got := w.cluster.Counts().Streams; got != 1 {
			w.Fatalf("%d streams, want 1", got)
		}
	})
}

// Hole 22: one batch that the agent's limit refuses ends the whole stream. It
// alone fails; what was in flight beside it, in its partition before it and in
// others, is delivered.
func TestMessageLargerThanTheAgentTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, cluster: producertest.New(t, producertest.ServerOptions(grpc.MaxRecvMsgSize(1<<20)))}
		w.cluster.CreateTopic(topic, "a", "a", "a")
		w.script(nil)
		w.producer = w.newProducer(single()...)
		t.Cleanup(func() { _ = w.producer.Close(t.Context()) })
		w.send(0, 9)
		w.sendTo(1, 100, 109)
		w.producer.SendAsync(t.Context(), producer.Record{Value: make([]byte, 2<<20)}, w.callback(10))
		w.sendTo(1, 110, 119)
		if err := w.producer.Flush(t.Context()); err == nil {
			t.Fatal("flush reports no failure")
		}
		w.send(11, 19)
		w.flush()
		for _, r := range w.gotResults() {
			if (r.err != nil) != (r.n == 10) {
				t.Fatalf("record %d: %v", r.n, r.err)
			}
		}
		if got, want := w.values(0), numbers(0, 9)+" "+numbers(11, 19); got != want {
			t.Fatalf("the log holds %s", got)
		}
		if got, want := w.values(1), numbers(100, 119); got != want {
			t.Fatalf("the other log holds %s", got)
		}
		if got := now(); got > 5*time.Second {
			t.Fatalf("took %v", got)
		}
	})
}

// Hole 22: a backlog became one request larger than gRPC's limit.
func TestBacklogIsSentInSmallRequests(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.send(0, 0)
		w.flush()
		w.cluster.Kill("a")
		for range 20_000 {
			w.producer.SendAsync(w.Context(), producer.Record{Value: make([]byte, 1000)}, nil)
		}
		time.Sleep(time.Second)
		w.cluster.Start("a")
		w.flush()
		if got := len(w.cluster.Records(topic, 0)); got != 20_001 {
			w.Fatalf("%d records arrived", got)
		}
		if got := w.cluster.Counts().LargestRequest; got > 256<<10 || got < 150<<10 {
			w.Fatalf("the largest request had %d bytes, want close to 256 KiB", got)
		}
	})
}

// Hole 21: one sequential loop flushed all partitions, so that one dead agent
// stalled everything.
func TestDeadAgentStallsNoOtherPartition(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.cluster.Move(topic, 1, "b")
		w.cluster.Kill("b")
		w.sendTo(1, 0, 9)
		time.Sleep(time.Second)
		start := time.Now()
		for range 10 {
			if _, err := w.producer.Send(w.Context(), producer.Record{Partition: 0}); err != nil {
				w.Fatal(err)
			}
		}
		if took := time.Since(start); took > time.Second {
			w.Fatalf("10 sends took %v, want a linger each", took)
		}
		if got := len(w.gotResults()); got != 0 {
			w.Fatalf("%d records of the dead agent's partition are resolved", got)
		}
	})
}

func TestUnknownTopicFailsFast(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		_, err := w.producer.Send(w.Context(), producer.Record{Topic: "nope"})
		if !isError(err, reason.UnknownTopic) || producer.OutcomeOf(err) != producer.NotDone || now() != 0 {
			w.Fatalf("got %v after %v", err, now())
		}
		if !strings.Contains(err.Error(), `no topic "nope": create it first`) {
			w.Fatalf("unclear: %v", err)
		}
		w.cluster.CreateTopic("nope", "a")
		if _, err := w.producer.Send(w.Context(), producer.Record{Topic: "nope"}); err != nil {
			w.Fatalf("after it was created: %v", err)
		}
	})
}

// A topic made again under its name is another log: what was meant for the old
// one fails, what is sent from then on goes to the new one.
func TestTopicDeletedAndMadeAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.send(0, 0)
		w.flush()
		w.cluster.CreateTopic(topic, "b", "b", "b")
		w.send(1, 1)
		if err := w.producer.Flush(w.Context()); !isError(err, reason.UnknownTopic) || producer.OutcomeOf(err) != producer.NotDone {
			w.Fatalf("flush: %v", err)
		}
		ack, err := w.producer.Send(w.Context(), producer.Record{Value: []byte("new")})
		if err != nil || ack.Offset != 0 || w.values(0) != "new" {
			w.Fatalf("got %v, %v; the log holds %s", ack, err, w.values(0))
		}
	})
}

// The owner is gone, and so is the topic: what waits must not wait two minutes.
func TestTopicDeletedWhileItsOwnerIsAway(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.cluster.Move(topic, 0, "b")
		w.send(0, 0)
		w.flush()
		w.cluster.Kill("b")
		w.cluster.DeleteTopic(topic)
		w.send(1, 1)
		if err := w.producer.Flush(w.Context()); !isError(err, reason.UnknownTopic) {
			w.Fatalf("flush: %v", err)
		}
		if now() > 5*time.Second {
			w.Fatalf("took %v", now())
		}
	})
}

// A thousand goroutines that meet a new topic ask for it once.
func TestLookupsAreShared(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.cluster.OnDescribe(func(string) error { time.Sleep(time.Second); return nil })
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := w.producer.Send(w.Context(), producer.Record{}); err != nil {
					w.Error(err)
				}
			})
		}
		wg.Wait()
		if got := w.cluster.Counts().Described; got != 1 {
			w.Fatalf("described %d times", got)
		}
	})
}

// New needs no agent; the first record waits for one, as long as its context
// allows, and then says what was in the way.
func TestFirstSendWaitsForAnAgent(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.cluster.Kill(name)
		}
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		_, err := w.producer.Send(ctx, producer.Record{})
		if !isError(err, context.DeadlineExceeded) || producer.OutcomeOf(err) != producer.NotDone || !strings.Contains(err.Error(), "connection refused") {
			w.Fatalf("got %v", err)
		}
		_, err = w.producer.Send(w.Context(), producer.Record{})
		if !isError(err, producer.ErrDeliveryTimeout) || now() != 5*time.Second+2*time.Minute {
			w.Fatalf("got %v after %v", err, now())
		}
		go func() {
			time.Sleep(10 * time.Second)
			w.cluster.Start("a")
		}()
		if _, err := w.producer.Send(w.Context(), producer.Record{}); err != nil {
			w.Fatal(err)
		}
	})
}

// Bad credentials are not tried until the delivery timeout.
func TestCredentialsAreRefusedAtOnce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.script(func(*producertest.Attempt) producertest.Reply {
			return producertest.Reply{Break: producertest.Status(codes.Unauthenticated, "token expired")}
		})
		w.send(0, 249)
		if err := w.producer.Flush(w.Context()); status.Code(unwrapReason(err)) != codes.Unauthenticated {
			w.Fatalf("flush: %v", err)
		}
		if now() > time.Second {
			w.Fatalf("took %v", now())
		}
		w.cluster.OnDescribe(func(string) error { return status.Error(codes.PermissionDenied, "not yours") })
		_, err := w.producer.Send(w.Context(), producer.Record{Topic: "other"})
		if status.Code(unwrapReason(err)) != codes.PermissionDenied || now() > time.Second {
			w.Fatalf("got %v after %v", err, now())
		}
	})
}

func unwrapReason(err error) error {
	var r *reason.Error
	if asError(err, &r) {
		return r
	}
	return err
}

// An agent that owns a partition but cannot be found out about does not fail
// what is on its way: describing the topic is tried again.
func TestMetadataOutage(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.send(0, 0)
		w.flush()
		w.cluster.OnDescribe(func(string) error { return status.Error(codes.Unavailable, "down") })
		w.cluster.Kill("a")
		w.send(1, 3)
		time.Sleep(20 * time.Second)
		w.cluster.Move(topic, 0, "b")
		w.cluster.Start("a") // the target; it is not the owner any more
		w.cluster.OnDescribe(nil)
		w.flush()
		w.checkAcked(0, 3)
	})
}

// Unused connections are closed and come back when they are needed.
func TestIdleConnectionIsClosed(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.send(0, 0)
		w.flush()
		dials := w.cluster.Counts().Dials
		time.Sleep(3 * time.Minute) // before the topic is described anew
		w.send(1, 1)
		w.flush()
		w.checkAcked(0, 1)
		if got := w.cluster.Counts(); got.Dials != dials+1 || got.Streams != 2 {
			w.Fatalf("%d dials and %d streams, want one more dial and 2 streams", got.Dials-dials, got.Streams)
		}
	})
}

func TestConnectionsPerAgent(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		inWorld(t, options(producer.WithConnections(n)), func(w *world) {
			for partition := range int32(3) {
				w.sendTo(partition, 0, 500)
			}
			w.flush()
			// The connection of the first question goes to the first stream.
			if got := w.cluster.Counts(); got.Streams != n || got.Dials != n {
				w.Fatalf("%d streams over %d dials, want %d of each", got.Streams, got.Dials, n)
			}
		})
	}
}

// More partitions are noticed when the topic is described the next time.
func TestPartitionsAreAdded(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.sendTo(3, 0, 0)
		if err := w.producer.Flush(w.Context()); err != nil {
			w.Fatalf("a refused record with a callback is not Flush's to report: %v", err)
		}
		results := w.gotResults()
		if len(results) != 1 || !isError(results[0].err, producer.ErrInvalidPartition) {
			w.Fatalf("got %v", results)
		}
		w.cluster.Grow(topic, "c")
		w.script(once(0, reason.New(reason.Draining, "bye")))
		w.sendTo(0, 1, 1)
		w.flush()
		w.sendTo(3, 2, 2)
		w.flush()
		if got := w.values(3); got != "2" {
			w.Fatalf("partition 3 holds %q", got)
		}
	})
}

// Partitions share a connection fairly: one with a long backlog does not hold
// up another.
func TestPartitionsTakeTurns(t *testing.T) {
	inWorld(t, single(producer.WithMaxInFlightBytes(150)), func(w *world) {
		release := make(chan struct{})
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Wait: release} })
		w.sendTo(0, 0, 99)
		synctest.Wait()
		w.sendTo(1, 100, 103)
		synctest.Wait()
		close(release)
		w.flush()
		var order []uint32
		for _, a := range w.gotAttempts() {
			order = append(order, a.Partition)
		}
		slices.Reverse(order)
		if last := len(order) - slices.Index(order, 1); last > 20 {
			w.Fatalf("the other partition's four batches are not sent before turn %d", last)
		}
	})
}

// While the owner is being looked for, nothing is sent to the one that was.
func TestNothingIsSentWhileResolving(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Agent == "a" {
				return producertest.Reply{Err: reason.New(reason.LeaseExpired, "not mine any more")}
			}
			return producertest.Reply{}
		})
		first := true
		w.cluster.OnDescribe(func(string) error {
			if !first {
				time.Sleep(time.Second)
			}
			first = false
			return nil
		})
		w.send(0, 0)
		synctest.Wait()
		w.cluster.Move(topic, 0, "b")
		w.send(1, 1)
		w.flush()
		w.checkAcked(0, 1)
		if got := w.identities(); !slices.Equal(got, []string{"A0", "A0", "A1"}) {
			w.Fatalf("attempts: %v", got)
		}
	})
}

// The bug this catches: the search for an owner ends when everything that
// waited for it has timed out, and the partition goes on waiting for it.
func TestPartitionIsUsableAfterAFailedSearch(t *testing.T) {
	inWorld(t, single(producer.WithDeliveryTimeout(5*time.Second)), func(w *world) {
		w.send(0, 0)
		w.flush()
		w.cluster.OnDescribe(func(string) error { return status.Error(codes.Unavailable, "down") })
		w.script(func(*producertest.Attempt) producertest.Reply {
			return producertest.Reply{Err: reason.New(reason.Draining, "bye")}
		})
		w.send(1, 1)
		w.flushFailing(producer.ErrDeliveryTimeout)
		time.Sleep(5 * time.Second)
		w.cluster.OnDescribe(nil)
		w.script(nil)
		w.send(2, 2)
		w.flush()
		if got := w.values(0); got != "0 2" {
			w.Fatalf("the log holds %s", got)
		}
	})
}

// noToken is credentials that are good for topics only.
type noToken struct{}

func (noToken) GetRequestMetadata(_ context.Context, uri ...string) (map[string]string, error) {
	if strings.Contains(uri[0], "ProducerService") {
		return nil, status.Error(codes.Unauthenticated, "no token")
	}
	return nil, nil
}

func (noToken) RequireTransportSecurity() bool { return false }

// Credentials that cannot be had fail records at once, and nothing was sent.
func TestCredentialsThatFail(t *testing.T) {
	inWorld(t, options(producer.WithPerRPCCredentials(noToken{})), func(w *world) {
		_, err := w.producer.Send(w.Context(), producer.Record{})
		if status.Code(unwrapReason(err)) != codes.Unauthenticated || producer.OutcomeOf(err) != producer.NotDone || now() > time.Second {
			w.Fatalf("got %v after %v", err, now())
		}
	})
}
