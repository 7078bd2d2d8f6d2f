package producer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// Hole 7: Flush left partial batches behind.
func TestFlushSendsPartialBatchesAtOnce(t *testing.T) {
	inWorld(t, options(producer.WithLinger(time.Minute), producer.WithCompression(producer.S2)), func(w *world) {
		w.send(0, 249)
		w.sendTo(1, 250, 251)
		w.flush()
		if now() != 0 {
			w.Fatalf("took %v", now())
		}
		// The callbacks have returned: no Wait is needed here.
		if got := len(w.gotResults()); got != 252 {
			w.Fatalf("%d callbacks", got)
		}
	})
}

// Hole 7: failed batches were thrown away with a log line, and Close returned
// nil after a failed flush.
func TestFailuresAreReported(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Partition == 1 {
				return producertest.Reply{Err: reason.New(reason.TooLarge, "too large")}
			}
			return producertest.Reply{}
		})
		w.producer.SendAsync(w.Context(), producer.Record{Partition: 1}, nil) // nobody listens
		w.send(0, 0)
		if err := w.producer.Flush(w.Context()); !isError(err, reason.TooLarge) {
			w.Fatalf("flush: %v", err)
		}
		w.send(1, 1)
		if err := w.producer.Flush(w.Context()); err != nil {
			w.Fatalf("the second flush reports what the first did: %v", err)
		}
		if err := w.producer.Close(w.Context()); !isError(err, reason.TooLarge) {
			w.Fatalf("close after a failed flush: %v", err)
		}
	})
}

// Without a callback, what was refused at once is Flush's to report.
func TestRefusalWithoutCallbackIsReported(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.producer.SendAsync(w.Context(), producer.Record{Topic: "nope"}, nil)
		if err := w.producer.Flush(w.Context()); !isError(err, reason.UnknownTopic) {
			w.Fatalf("flush: %v", err)
		}
	})
}

// Flush waits for the callbacks of refused records too.
func TestFlushWaitsForRefusedRecords(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for n := range 100 {
			w.producer.SendAsync(w.Context(), producer.Record{Partition: 77}, w.callback(n))
		}
		w.flush()
		if got := len(w.gotResults()); got != 100 {
			w.Fatalf("%d callbacks", got)
		}
	})
}

// What Send returned is no news for Close.
func TestSendFailureIsNotReportedAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.script(func(*producertest.Attempt) producertest.Reply {
			return producertest.Reply{Err: reason.New(reason.CorruptBatch, "bad CRC")}
		})
		if _, err := w.producer.Send(w.Context(), producer.Record{}); !isError(err, reason.CorruptBatch) {
			w.Fatalf("got %v", err)
		}
		if err := w.producer.Close(w.Context()); err != nil {
			w.Fatalf("close: %v", err)
		}
	})
}

func TestFlushEndsWithItsContext(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Delay: 10 * time.Second} })
		w.send(0, 1)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if err := w.producer.Flush(ctx); !isError(err, context.DeadlineExceeded) {
			w.Fatalf("flush: %v", err)
		}
		w.flush()
		w.checkAcked(0, 1)
	})
}

func TestAfterClose(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.send(0, 9)
		if err := w.producer.Close(w.Context()); err != nil {
			w.Fatal(err)
		}
		w.checkAcked(0, 9)
		for _, name := range []string{topic, "another"} {
			if _, err := w.producer.Send(w.Context(), producer.Record{Topic: name}); !isError(err, producer.ErrClosed) || producer.OutcomeOf(err) != producer.NotDone {
				w.Fatalf("send: %v", err)
			}
		}
		called := 0
		w.producer.SendAsync(w.Context(), producer.Record{}, func(_ producer.Ack, err error) {
			if !isError(err, producer.ErrClosed) {
				w.Errorf("callback: %v", err)
			}
			called++
		})
		if called != 1 {
			w.Fatalf("the callback was called %d times", called)
		}
		if err := w.producer.Flush(w.Context()); !isError(err, producer.ErrClosed) {
			w.Fatalf("flush: %v", err)
		}
		if err := w.producer.Close(w.Context()); err != nil {
			w.Fatalf("second close: %v", err)
		}
	})
}

// Close that runs out of time fails what is left, with what is known of it.
func TestCloseOutOfTimeResolvesEverything(t *testing.T) {
	inWorld(t, single(producer.WithMaxInFlight(2)), func(w *world) {
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Silent: true} })
		w.send(0, 3)
		ctx, cancel := context.WithTimeout(w.Context(), 2*time.Second)
		defer cancel()
		err := w.producer.Close(ctx)
		if !isError(err, producer.ErrClosed) || !isError(err, context.DeadlineExceeded) || now() != 2*time.Second {
			w.Fatalf("close: %v after %v", err, now())
		}
		results := w.gotResults()
		if len(results) != 4 {
			w.Fatalf("%d callbacks", len(results))
		}
		for n, r := range results {
			outcome := producer.Unknown
			if n >= 2 {
				outcome = producer.NotDone // they were never sent
			}
			checkFailed(t, r, n, outcome, producer.ErrClosed)
		}
		if err2 := w.producer.Close(w.Context()); !isError(err2, producer.ErrClosed) {
			w.Fatalf("second close: %v", err2)
		}
	})
}

// Close must not wait for agents that are not there longer than it is told to,
// also while a topic is being looked up.
func TestCloseWhileWaiting(t *testing.T) {
	inWorld(t, options(producer.WithMaxBufferedRecords(100)), func(w *world) {
		w.onePartition()
		w.send(0, 0)
		w.flush()
		w.cluster.Kill("a")
		results := make(chan error, 2)
		go func() {
			_, err := w.producer.Send(w.Context(), producer.Record{Topic: "another"})
			results <- err
		}()
		w.send(1, 100)
		go func() { // no room
			_, err := w.producer.Send(w.Context(), producer.Record{})
			results <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if err := w.producer.Close(ctx); !isError(err, producer.ErrClosed) {
			w.Fatalf("close: %v", err)
		}
		for range 2 {
			if err := <-results; !isError(err, producer.ErrClosed) {
				w.Fatalf("got %v", err)
			}
		}
		if got := len(w.gotResults()); got != 101 {
			w.Fatalf("%d callbacks", got)
		}
	})
}

// A send that races Close is sent or refused; either way its callback is
// called once. The bug this catches: a check for 'closed' before the batch's
// lock lets a record in that nobody flushes.
func TestSendRacesClose(t *testing.T) {
	for range 30 {
		c := producertest.New(t)
		c.CreateTopic(topic, "a", "a", "a")
		w := &world{T: t, cluster: c}
		p := w.newProducer(producer.WithBatchRecords(7), producer.WithCompression(producer.S2))
		var sent, called, acked atomic.Int64
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for n := range 500 {
					sent.Add(1)
					p.SendAsync(t.Context(), producer.Record{Value: fmt.Append(nil, n), Partition: int32(g % 3)}, func(_ producer.Ack, err error) {
						called.Add(1)
						if err == nil {
							acked.Add(1)
						} else if !isError(err, producer.ErrClosed) {
							t.Error(err)
						}
					})
				}
			})
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		stored := len(c.Records(topic, 0)) + len(c.Records(topic, 1)) + len(c.Records(topic, 2))
		if called.Load() != sent.Load() || int64(stored) != acked.Load() {
			t.Fatalf("%d sent, %d callbacks, %d acknowledged, %d stored", sent.Load(), called.Load(), acked.Load(), stored)
		}
		if records, bytes := producer.Buffered(p); records != 0 || bytes != 0 {
			t.Fatalf("%d records and %d bytes are still counted", records, bytes)
		}
		c.Stop()
	}
}

// Hole 21: client memory was unbounded.
func TestFullBufferBlocks(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit producer.Option
		fit   int
	}{
		{"records", producer.WithMaxBufferedRecords(5), 5},
		{"bytes", producer.WithMaxBufferedBytes(600), 4}, // a record counts its bytes and 23
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, single(c.limit, producer.WithBatchBytes(500)), func(w *world) {
				w.onePartition()
				release := make(chan struct{})
				w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Wait: release} })
				value := make([]byte, 100)
				taken := 0
				go func() {
					for range 8 {
						w.producer.SendAsync(w.Context(), producer.Record{Value: value}, nil)
						taken++
					}
				}()
				synctest.Wait()
				if taken != c.fit {
					w.Fatalf("%d records were taken, want %d", taken, c.fit)
				}
				ctx, cancel := context.WithTimeout(w.Context(), 3*time.Second)
				defer cancel()
				_, err := w.producer.Send(ctx, producer.Record{Value: value})
				if !isError(err, context.DeadlineExceeded) || producer.OutcomeOf(err) != producer.NotDone {
					w.Fatalf("got %v", err)
				}
				close(release)
				synctest.Wait()
				w.flush()
				if got := len(w.cluster.Records(topic, 0)); got != 8 {
					w.Fatalf("%d records arrived", got)
				}
			})
		})
	}
}

func TestFullBufferFails(t *testing.T) {
	inWorld(t, single(producer.WithMaxBufferedRecords(5), producer.WithFailWhenFull()), func(w *world) {
		w.onePartition()
		release := make(chan struct{})
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Wait: release} })
		w.send(0, 7)
		synctest.Wait()
		results := w.gotResults()
		if len(results) != 3 {
			w.Fatalf("%d records were refused, want 3", len(results))
		}
		for i, r := range results {
			checkFailed(t, r, 5+i, producer.NotDone, producer.ErrBufferFull)
		}
		close(release)
		w.flush()
		w.send(8, 8)
		w.flush()
		if got := w.values(0); got != "0 1 2 3 4 8" {
			w.Fatalf("the log holds %s", got)
		}
	})
}

// A callback finds the room that its own batch took.
func TestCallbackMaySendOn(t *testing.T) {
	inWorld(t, single(producer.WithMaxBufferedRecords(1), producer.WithFailWhenFull()), func(w *world) {
		left := 20
		var next func(producer.Ack, error)
		next = func(_ producer.Ack, err error) {
			if err != nil {
				w.Errorf("with %d left: %v", left, err)
			}
			if left--; left > 0 {
				w.producer.SendAsync(w.Context(), producer.Record{}, next)
			}
		}
		w.producer.SendAsync(w.Context(), producer.Record{}, next)
		synctest.Wait()
		if left != 0 {
			w.Fatalf("%d left", left)
		}
	})
}

func TestDeliveryTimeout(t *testing.T) {
	inWorld(t, single(producer.WithDeliveryTimeout(20*time.Second), producer.WithMaxInFlight(2)), func(w *world) {
		w.script(func(*producertest.Attempt) producertest.Reply {
			return producertest.Reply{Silent: now() < 25*time.Second}
		})
		w.send(0, 2)
		time.Sleep(9 * time.Second) // so that record 3 runs out before the agent's silence ends the stream
		w.send(3, 3)
		time.Sleep(16 * time.Second)
		results := w.gotResults()
		if len(results) != 3 {
			w.Fatalf("%d results after %v", len(results), now())
		}
		for n, r := range results {
			outcome := producer.Unknown
			if n == 2 {
				outcome = producer.NotDone // the window was full
			}
			checkFailed(t, r, n, outcome, producer.ErrDeliveryTimeout)
			if r.at != 20*time.Second {
				w.Fatalf("record %d failed after %v", n, r.at)
			}
		}
		w.script(nil)
		time.Sleep(30 * time.Second) // the agent's silence ends the stream
		w.send(4, 4)
		w.flushFailing(producer.ErrDeliveryTimeout)
		if got := w.values(0); got != "4" {
			w.Fatalf("the log holds %s", got)
		}
	})
}

// The error says what stood in the way.
func TestDeliveryTimeoutSaysWhy(t *testing.T) {
	inWorld(t, single(producer.WithDeliveryTimeout(20*time.Second)), func(w *world) {
		w.send(0, 0)
		w.flush()
		w.script(func(*producertest.Attempt) producertest.Reply {
			return producertest.Reply{Err: reason.New(reason.NotOwner, "not here")}
		})
		w.send(1, 1)
		if err := w.producer.Flush(w.Context()); !isError(err, producer.ErrDeliveryTimeout) || !isError(err, reason.NotOwner) || producer.OutcomeOf(err) != producer.NotDone {
			w.Fatalf("flush: %v", err)
		}
		w.cluster.Kill("a")
		w.send(2, 2)
		var answer *reason.Error
		if err := w.producer.Flush(w.Context()); !isError(err, producer.ErrDeliveryTimeout) || !asError(err, &answer) || answer.Code != codes.Unavailable {
			w.Fatalf("flush: %v", err)
		}
	})
}
