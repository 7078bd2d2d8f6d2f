package producer_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// single makes every record a batch of its own, so that record n is sequence n.
func single(opts ...producer.Option) []producer.Option {
	return append(opts, producer.WithBatchRecords(1))
}

func overloaded() *reason.Error { return reason.New(reason.Overloaded, "buffers are full") }

// Retries wait as the policy says and send the bytes that were sent before.
func TestRetryWaitsAndRepeatsTheBytes(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Try <= 3 {
				return producertest.Reply{Err: overloaded()}
			}
			return producertest.Reply{}
		})
		w.send(0, 0)
		w.flush()
		w.checkAcked(0, 0)
		attempts := w.gotAttempts()
		want := []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond}
		for i, a := range attempts {
			if a.at != want[i] {
				w.Fatalf("attempt %d came after %v, want %v", i, a.at, want[i])
			}
			if !bytes.Equal(a.Data, attempts[0].Data) {
				w.Fatalf("attempt %d differs from the first", i)
			}
		}
		if len(attempts) != len(want) {
			w.Fatalf("%d attempts, want %d", len(attempts), len(want))
		}
	})
}

func TestRetryHonoursTheAgentsDelay(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(once(0, overloaded().After(7*time.Second)))
		w.send(0, 0)
		w.flush()
		if got := w.gotAttempts()[1].at; got != 7*time.Second {
			w.Fatalf("retried after %v, want 7s", got)
		}
	})
}

// Hole 13: a retry after a lost answer appended twice.
func TestRetryOfAnAppendedBatchGetsItsFirstOffset(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Try == 1 {
				return producertest.Reply{Append: true, Err: reason.New(reason.StorageFailed, "no answer from the store in time")}
			}
			return producertest.Reply{}
		})
		w.send(0, 4)
		w.flush()
		w.checkAcked(0, 4)
	})
}

func TestRetriesExhausted(t *testing.T) {
	for _, c := range []struct {
		err     *reason.Error
		outcome producer.Outcome
	}{
		{overloaded(), producer.NotDone},
		{reason.New(reason.StorageFailed, "the store is down"), producer.Unknown},
		{&reason.Error{Code: codes.DeadlineExceeded, Message: "a proxy gave up"}, producer.Unknown},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			inWorld(t, single(), func(w *world) {
				w.script(func(a *producertest.Attempt) producertest.Reply {
					if a.Header.Sequence == 0 && len(w.gotAttempts()) <= 6 {
						return producertest.Reply{Err: c.err}
					}
					return producertest.Reply{}
				})
				w.send(0, 0)
				synctest.Wait()
				time.Sleep(10 * time.Second)
				results := w.gotResults()
				if len(results) != 1 || len(w.gotAttempts()) != 6 {
					w.Fatalf("%d results after %d attempts, want 1 after 6", len(results), len(w.gotAttempts()))
				}
				checkFailed(w.T, results[0], 0, c.outcome, producer.ErrRetriesExhausted)
				if results[0].at != 3100*time.Millisecond || !strings.Contains(results[0].err.Error(), c.err.Error()) {
					w.Fatalf("failed after %v: %v", results[0].at, results[0].err)
				}
				// A batch that was given up does not wedge its partition.
				if _, err := w.producer.Send(w.Context(), producer.Record{Value: []byte("next")}); err != nil {
					w.Fatal(err)
				}
			})
		})
	}
}

// The first missing batch and all behind it are sent again, in order, and
// nothing else is sent before all are answered.
func TestGapIsResentFromTheFirstMissing(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(once(2, overloaded()))
		w.send(0, 5)
		w.flush()
		w.checkAcked(0, 5)
		want := []string{"A0", "A1", "A2", "A3", "A4", "A5", "A2", "A3", "A4", "A5"}
		if got := w.identities(); !slices.Equal(got, want) {
			w.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

// An agent that refuses a producer's first batch knows nothing of it yet, and
// says UNKNOWN_PRODUCER of those behind. The bug this catches: an agent that
// is overloaded for a moment fails all that a new producer has in flight.
func TestFirstBatchRefusedWithOthersInFlight(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(once(0, overloaded()))
		w.send(0, 5)
		w.flush()
		w.checkAcked(0, 5)
		if got := w.identities(); got[len(got)-1] != "A5" {
			w.Fatalf("the producer id was changed: %v", got)
		}
	})
}

// While a batch waits to be sent again, those that come later wait behind it.
func TestLaterBatchesDoNotOvertakeARetry(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(once(0, overloaded().After(time.Second)))
		w.send(0, 0)
		synctest.Wait()
		w.send(1, 3)
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		if got := len(w.gotAttempts()); got != 1 {
			w.Fatalf("%d attempts during the backoff, want 1", got)
		}
		w.flush()
		w.checkAcked(0, 3)
	})
}

// A batch that fails for good leaves a hole in the sequence. Those in flight
// behind it are refused for it and clearly not appended: they go on under a
// fresh producer id, and lose neither records nor order.
func TestPermanentFailureFailsOnlyItsBatch(t *testing.T) {
	for _, bad := range []uint64{0, 2, 5} {
		inWorld(t, single(), func(w *world) {
			w.script(once(bad, reason.New(reason.TooLarge, "this agent takes 1 MiB")))
			w.send(0, 5)
			if err := w.producer.Flush(w.Context()); !isError(err, reason.TooLarge) {
				w.Fatalf("flush: %v", err)
			}
			checkAllBut(w, int(bad), 5)
		})
	}
}

// checkAllBut checks that records 0 to last were acknowledged in order, but
// for one that was not appended.
func checkAllBut(w *world, bad, last int) {
	w.Helper()
	results := w.gotResults()
	if len(results) != last+1 {
		w.Fatalf("%d callbacks", len(results))
	}
	want := ""
	for n, r := range results {
		if n == bad {
			checkFailed(w.T, r, n, producer.NotDone, reason.TooLarge)
			continue
		}
		if r.err != nil || r.n != n {
			w.Fatalf("callback %d is record %d's: %v", n, r.n, r.err)
		}
		if want != "" {
			want += " "
		}
		want += numbers(n, n)
	}
	if got := w.values(0); got != want {
		w.Fatalf("the log holds %s, want %s", got, want)
	}
}

// What stands before the hole keeps its identity, for it may be in the log,
// and what comes after waits until it is resolved: the agent keeps the order
// within one producer id only.
func TestHoleBehindARetryKeepsTheOrder(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			switch {
			case a.Header.Sequence == 1 && a.Try == 1:
				return producertest.Reply{Append: true, Err: reason.New(reason.StorageFailed, "outcome unknown")}
			case a.Header.Sequence == 1 && a.Try == 2:
				return producertest.Reply{Err: overloaded()} // the agent is busy, and has it all the same
			case a.Header.Sequence == 3 && a.Header.ProducerID == w.firstID():
				return producertest.Reply{Err: reason.New(reason.TooLarge, "this agent takes 1 MiB")}
			}
			return producertest.Reply{}
		})
		w.send(0, 5)
		if err := w.producer.Flush(w.Context()); !isError(err, reason.TooLarge) {
			w.Fatalf("flush: %v", err)
		}
		checkAllBut(w, 3, 5)
	})
}

// Renew: the batch and what could be in the log behind it fail as unknown and
// are never sent under the fresh id; what was never sent goes on.
func TestRenewGivesUpWhatCouldBeInTheLog(t *testing.T) {
	for _, why := range []reason.Reason{reason.SequenceConflict, reason.SequenceTooOld, reason.UnknownProducer} {
		t.Run(string(why), func(t *testing.T) {
			inWorld(t, single(), func(w *world) {
				if _, err := w.producer.Send(w.Context(), producer.Record{Value: []byte("0")}); err != nil {
					w.Fatal(err)
				}
				release := make(chan struct{})
				w.script(func(a *producertest.Attempt) producertest.Reply {
					switch {
					case a.Stream == 1: // records 1 to 3 are in flight when the stream breaks
						return producertest.Reply{Wait: release, Break: producertest.Status(codes.Unavailable, "reset")}
					case a.Header.Sequence == 1 && a.Header.ProducerID == w.firstID():
						return producertest.Reply{Err: reason.New(why, "no")}
					}
					return producertest.Reply{}
				})
				w.send(1, 3)
				synctest.Wait()
				w.send(4, 4)
				synctest.Wait()
				close(release)
				synctest.Wait()
				w.send(5, 6)
				if err := w.producer.Flush(w.Context()); !isError(err, why) {
					w.Fatalf("flush: %v", err)
				}
				results := w.gotResults()
				checkFailed(t, results[0], 1, producer.Unknown, why)
				for i := 1; i <= 3; i++ {
					checkFailed(t, results[i], i+1, producer.Unknown, producer.ErrGivenUp)
				}
				if got := w.values(0); got != "0 5 6" {
					w.Fatalf("the log holds %s", got)
				}
			})
		})
	}
}

// A late copy of a batch that was given up commits: reported as unknown, it is
// there once.
func TestLateCopyDoesNotDouble(t *testing.T) {
	inWorld(t, single(producer.WithDeliveryTimeout(10*time.Second), producer.WithRequestTimeout(3*time.Second)), func(w *world) {
		zombie := make(chan struct{})
		w.script(func(a *producertest.Attempt) producertest.Reply {
			switch {
			case a.Stream == 1:
				return producertest.Reply{Wait: zombie, Append: true, Silent: true}
			case a.Header.Sequence == 0 && len(w.gotResults()) == 0:
				return producertest.Reply{Silent: true}
			}
			return producertest.Reply{}
		})
		w.send(0, 0)
		time.Sleep(11 * time.Second)
		close(zombie)
		synctest.Wait()
		w.send(1, 1)
		if err := w.producer.Flush(w.Context()); !isError(err, producer.ErrDeliveryTimeout) {
			w.Fatalf("flush: %v", err)
		}
		checkFailed(t, w.gotResults()[0], 0, producer.Unknown, producer.ErrDeliveryTimeout)
		if got := w.values(0); got != "0 1" {
			w.Fatalf("the log holds %s", got)
		}
	})
}

// Hole 22: grpc-go says RESOURCE_EXHAUSTED for a message that is too large,
// and a policy that retries that code retries for ever.
func TestResourceExhaustedWithoutReasonIsPermanent(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(once(0, &reason.Error{Code: codes.ResourceExhausted, Message: "grpc: received message larger than max"}))
		w.send(0, 1)
		if err := w.producer.Flush(w.Context()); err == nil {
			w.Fatal("flush reports no failure")
		}
		results := w.gotResults()
		var answer *reason.Error
		if len(results) != 2 || results[0].at != 0 || producer.OutcomeOf(results[0].err) != producer.NotDone || !asError(results[0].err, &answer) {
			w.Fatalf("got %v", results)
		}
		if results[1].err != nil || w.values(0) != "1" {
			w.Fatalf("the next record: %v", results[1].err)
		}
	})
}

// A gap that no batch of ours can fill is not resent without end.
func TestGapBeforeTheOldestBatchIsRetriedAsAFailure(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.send(0, 0)
		w.flush()
		w.cluster.Script(func(a *producertest.Attempt) producertest.Reply {
			if a.Header.Sequence == 1 {
				return producertest.Reply{Err: reason.New(reason.SequenceGap, "expected 0")}
			}
			return producertest.Reply{}
		})
		w.send(1, 1)
		if err := w.producer.Flush(w.Context()); !isError(err, producer.ErrRetriesExhausted) {
			w.Fatalf("flush: %v", err)
		}
		w.send(2, 2)
		w.flush()
		if got := w.values(0); got != "0 2" {
			w.Fatalf("the log holds %s", got)
		}
	})
}

// Agents forget a producer a day after its last batch. The first record after
// a longer pause must not fail for it.
func TestFreshIDAfterALongPause(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.send(0, 1)
		w.flush()
		time.Sleep(25 * time.Hour)
		w.cluster.ForgetProducers(topic, 0)
		w.send(2, 3)
		w.flush()
		w.checkAcked(0, 3)
		if got, want := w.identities(), []string{"A0", "A1", "B0", "B1"}; !slices.Equal(got, want) {
			w.Fatalf("got %v, want %v", got, want)
		}
	})
}

// The same with linger 0, where the link closes batches: that a batch is there
// to be closed does not make it one to be sent.
func TestFreshIDWaitsForTheOldOne(t *testing.T) {
	inWorld(t, options(producer.WithLinger(0)), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			switch {
			case a.Header.ProducerID != w.firstID():
			case a.Header.Sequence == 1 && a.Try == 1:
				return producertest.Reply{Delay: time.Second, Err: reason.New(reason.Draining, "wait")}
			case a.Header.Sequence == 1 && a.Try == 2: // record 3, sent behind it now, would overtake it
				return producertest.Reply{Delay: time.Second, Err: overloaded()}
			case a.Header.Sequence == 2:
				return producertest.Reply{Delay: time.Second, Err: reason.New(reason.SequenceConflict, "no")}
			}
			return producertest.Reply{}
		})
		for n := range 4 {
			if n == 3 { // record 1 is refused, record 2 is not answered yet
				time.Sleep(1500 * time.Millisecond)
			}
			w.send(n, n)
			synctest.Wait()
		}
		time.Sleep(time.Second) // Flush would close the batch itself
		w.flushFailing(reason.SequenceConflict)
		if got := w.values(0); got != "0 1 3" {
			w.Fatalf("the log holds %s", got)
		}
	})
}

// From the first refusal until everything in the air is answered, nothing new
// is sent: the agent would only refuse it.
func TestNothingIsSentIntoAGap(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		refuse := once(0, overloaded())
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Header.Sequence == 1 && a.Try == 1 {
				return producertest.Reply{Delay: time.Second} // and then a gap
			}
			return refuse(a)
		})
		w.send(0, 1)
		synctest.Wait()
		w.send(2, 2)
		w.flush()
		w.checkAcked(0, 2)
		if got, want := w.identities(), []string{"A0", "A1", "A0", "A1", "A2"}; !slices.Equal(got, want) {
			w.Fatalf("got %v, want %v", got, want)
		}
	})
}

// Two holes: what lies between them goes on under the fresh id too.
func TestSeveralPermanentFailures(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Header.ProducerID == w.firstID() && a.Header.Sequence%2 == 1 {
				return producertest.Reply{Err: reason.New(reason.CorruptBatch, "bad CRC")}
			}
			return producertest.Reply{}
		})
		w.send(0, 6)
		w.flushFailing(reason.CorruptBatch)
		if got := w.values(0); got != "0 2 4 6" {
			w.Fatalf("the log holds %s", got)
		}
	})
}
