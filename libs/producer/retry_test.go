package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

const ms = time.Millisecond

func TestRetryPolicyDefault(t *testing.T) {
	want := producer.RetryPolicy{MaxRetries: 5, InitialBackoff: 100 * ms, Multiplier: 2, MaxBackoff: 30 * time.Second, Jitter: 0.2}
	if got := producer.DefaultRetryPolicy(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// It is the one that a producer has without the option: five retries.
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, cluster: producertest.New(t, producertest.Agents("a"))}
		t.Cleanup(w.cluster.Stop)
		w.cluster.CreateTopic(topic, "a")
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Err: overloaded()} })
		p, err := producer.New(t.Context(), producertest.Address("a"), producer.WithDialOptions(w.cluster.Dialer()), producer.WithLinger(0))
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Send(t.Context(), producer.Record{Topic: topic})
		if n := len(w.gotAttempts()); !isError(err, producer.ErrRetriesExhausted) || n != 6 {
			t.Errorf("%v after %d attempts", err, n)
		}
		if took := now(); took < 2480*ms || took > 3100*ms {
			t.Errorf("took %v, want 3.1s less up to a fifth", took)
		}
		_ = p.Close(t.Context()) // it reports nothing that Send did not
	})
}

// The formula wins over the table of whoever first wrote it down: the sixth
// wait is 3.2 s, not the cap.
func TestBackoffCalculation(t *testing.T) {
	r := producer.DefaultRetryPolicy()
	for i, want := range []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms} {
		if got := r.Backoff(i); got != want {
			t.Errorf("attempt %d waits %v, want %v", i+1, got, want)
		}
	}
	r.Multiplier = 1.5
	if got := r.Backoff(2); got != 225*ms {
		t.Errorf("100 ms * 1.5 * 1.5 is %v", got)
	}
}

// No wait is above the cap, with jitter or without, however many there were.
func TestBackoffMaxCap(t *testing.T) {
	r := producer.DefaultRetryPolicy()
	for _, attempt := range []int{9, 10, 63, 64, 1000, 1 << 30} {
		if got := r.Backoff(attempt); got != r.MaxBackoff {
			t.Errorf("attempt %d waits %v", attempt, got)
		}
		r.Jitter = 1
		spread := map[time.Duration]bool{}
		for range 100 {
			got := producer.Jittered(r, r.Backoff(attempt))
			if got > r.MaxBackoff || got < 0 {
				t.Fatalf("attempt %d waits %v with jitter", attempt, got)
			}
			spread[got] = true
		}
		if len(spread) < 50 {
			t.Errorf("100 waits have %d lengths", len(spread))
		}
	}
}

func TestIsRetryable(t *testing.T) {
	larger := "grpc: received message larger than max (5 vs. 4)"
	failed := func(outcome producer.Outcome, err error) error {
		return &producer.Error{Topic: topic, Outcome: outcome, Err: err}
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		// A bare status.
		{status.Error(codes.Unavailable, ""), true},
		{status.Error(codes.DeadlineExceeded, ""), true},
		{status.Error(codes.ResourceExhausted, ""), true},
		{status.Error(codes.Internal, ""), true},
		{status.Error(codes.NotFound, ""), false},
		{status.Error(codes.FailedPrecondition, ""), false},
		{status.Error(codes.InvalidArgument, ""), false},
		{status.Error(codes.Unauthenticated, ""), false},
		{status.Error(codes.PermissionDenied, ""), false},
		{status.Error(codes.AlreadyExists, ""), false},
		{status.Error(codes.Unimplemented, ""), false},
		{status.Error(codes.DataLoss, ""), false},
		{status.Error(codes.ResourceExhausted, larger), false},
		{fmt.Errorf("produce: %w", status.Error(codes.Unavailable, "")), true},
		{fmt.Errorf("produce: %w", status.Error(codes.NotFound, "")), false},
		// Reasons, over their codes.
		{overTheWire(reason.NotOwner), true},
		{overTheWire(reason.LeaseExpired), true},
		{overTheWire(reason.Draining), true},
		{overTheWire(reason.Fenced), true},
		{overTheWire(reason.StorageFailed), true},
		{overTheWire(reason.StorageUnavailable), true},
		{overTheWire(reason.Overloaded), true},
		{overTheWire(reason.SequenceGap), true},
		{overTheWire(reason.UnknownTopic), false},
		{overTheWire(reason.SequenceTooOld), false},
		{overTheWire(reason.SequenceConflict), false},
		{overTheWire(reason.UnknownProducer), false},
		{overTheWire(reason.TooLarge), false},
		{overTheWire(reason.CorruptBatch), false},
		{overTheWire(reason.InvalidArgument), false},
		{overTheWire(reason.CorruptSegment), false},
		{reason.New(reason.NotOwner, ""), true},
		{reason.New(reason.TooLarge, ""), false},
		// Records that a producer failed.
		{failed(producer.NotDone, producer.ErrBufferFull), true},
		{failed(producer.NotDone, producer.ErrDeliveryTimeout), true},
		{failed(producer.NotDone, fmt.Errorf("%w: %w", producer.ErrRetriesExhausted, reason.New(reason.Overloaded, ""))), true},
		{failed(producer.Unknown, producer.ErrDeliveryTimeout), false},
		{failed(producer.Unknown, reason.New(reason.Fenced, "")), false},
		{failed(producer.NotDone, producer.ErrRecordTooLarge), false},
		{failed(producer.NotDone, producer.ErrClosed), false},
		{failed(producer.NotDone, reason.New(reason.TooLarge, "")), false},
		// No answers at all.
		{nil, false},
		{errors.New("a bug"), false},
		{context.Canceled, false},
		{context.DeadlineExceeded, true},
	} {
		if got := producer.IsRetryable(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// overTheWire is what a caller gets of an agent's refusal.
func overTheWire(r reason.Reason) error { return reason.New(r, "why").GRPCStatus().Err() }

// do runs a policy without jitter, in virtual time, and notes when it tried.
func do(t *testing.T, change func(*producer.RetryPolicy), answers ...error) (tried []time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := producer.DefaultRetryPolicy()
		r.Jitter = 0
		if change != nil {
			change(&r)
		}
		err = r.Do(t.Context(), func(context.Context) error {
			tried = append(tried, now())
			return answers[min(len(tried), len(answers))-1]
		})
	})
	return tried, err
}

func checkTimes(t *testing.T, got []time.Duration, want ...time.Duration) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("tried at %v, want %v", got, want)
	}
}

func TestRetryWithBackoffSuccess(t *testing.T) {
	tried, err := do(t, nil, nil)
	checkTimes(t, tried, 0)
	if err != nil {
		t.Error(err)
	}
}

func TestRetryWithBackoffEventualSuccess(t *testing.T) {
	busy := reason.New(reason.Overloaded, "busy").After(5 * time.Second).GRPCStatus().Err()
	tried, err := do(t, nil, status.Error(codes.Unavailable, ""), overTheWire(reason.NotOwner), busy, status.Error(codes.Internal, ""), nil)
	checkTimes(t, tried, 0, 100*ms, 300*ms, 5300*ms, 6100*ms)
	if err != nil {
		t.Error(err)
	}
}

func TestRetryWithBackoffNonRetryable(t *testing.T) {
	for _, permanent := range []error{status.Error(codes.InvalidArgument, "bad"), errors.New("a bug")} {
		tried, err := do(t, nil, status.Error(codes.Unavailable, ""), permanent)
		checkTimes(t, tried, 0, 100*ms)
		if err != permanent { //nolint:errorlint // it is handed through as it is
			t.Errorf("got %v", err)
		}
	}
}

func TestRetryWithBackoffExhausted(t *testing.T) {
	tried, err := do(t, nil, overTheWire(reason.Overloaded))
	checkTimes(t, tried, 0, 100*ms, 300*ms, 700*ms, 1500*ms, 3100*ms)
	if !errors.Is(err, producer.ErrRetriesExhausted) || !errors.Is(reason.From(err), reason.Overloaded) || status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(err.Error(), "retries exhausted after 5") {
		t.Errorf("unclear: %v", err)
	}
}

// Waits are capped, and the number of retries is the policy's.
func TestRetryPolicy(t *testing.T) {
	tried, err := do(t, func(r *producer.RetryPolicy) {
		r.MaxRetries, r.InitialBackoff, r.Multiplier, r.MaxBackoff = 4, time.Second, 3, 5*time.Second
	}, status.Error(codes.Unavailable, ""))
	checkTimes(t, tried, 0, 1*time.Second, 4*time.Second, 9*time.Second, 14*time.Second)
	if !errors.Is(err, producer.ErrRetriesExhausted) {
		t.Errorf("got %v", err)
	}
	tried, err = do(t, func(r *producer.RetryPolicy) { *r = producer.RetryPolicy{} }, nil)
	if len(tried) != 0 || err == nil || !strings.Contains(err.Error(), "start from DefaultRetryPolicy") {
		t.Errorf("an empty policy: %v after %v", err, tried)
	}
}

// No retry is begun once the context has ended.
func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		fail := func(context.Context) error { tries++; return status.Error(codes.Unavailable, "down") }
		ctx, cancel := context.WithTimeout(t.Context(), 500*ms)
		defer cancel()
		err := producer.DefaultRetryPolicy().Do(ctx, fail)
		if !errors.Is(err, context.DeadlineExceeded) || status.Code(err) != codes.Unavailable || now() != 500*ms || tries != 3 {
			t.Errorf("%v after %v and %d tries", err, now(), tries)
		}
		if err := producer.DefaultRetryPolicy().Do(ctx, fail); status.Code(err) != codes.Unavailable || tries != 4 {
			t.Errorf("%v after %d tries", err, tries)
		}
	})
}

// An attempt may have a deadline of its own, within the whole.
func TestRetryOfAnAttemptThatTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := producer.DefaultRetryPolicy().Do(t.Context(), func(ctx context.Context) error {
			if tries++; tries == 3 {
				return nil
			}
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			return ctx.Err()
		})
		if err != nil || tries != 3 {
			t.Errorf("%v after %d tries", err, tries)
		}
	})
}

// Against an agent: it refuses for longer than the policy retries.
func TestRetryExhaustion(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.script(func(*producertest.Attempt) producertest.Reply {
			return producertest.Reply{Err: reason.New(reason.StorageFailed, "the store is down")}
		})
		_, err := w.producer.Send(w.Context(), producer.Record{})
		if !isError(err, producer.ErrRetriesExhausted) || !isError(err, reason.StorageFailed) || producer.OutcomeOf(err) != producer.Unknown {
			w.Fatalf("got %v", err)
		}
		var at []time.Duration
		for _, a := range w.gotAttempts() {
			at = append(at, a.at-w.gotAttempts()[0].at)
		}
		checkTimes(w.T, at, 0, 100*ms, 300*ms, 700*ms, 1500*ms, 3100*ms)
	})
}

// Against an agent: what cannot succeed is not tried again.
func TestRetryNonRetryableImmediateFailure(t *testing.T) {
	for _, refusal := range []*reason.Error{
		reason.New(reason.TooLarge, "no"), reason.New(reason.CorruptBatch, "no"), reason.New(reason.UnknownTopic, "no"),
		{Code: codes.PermissionDenied, Message: "no"},
		{Code: codes.FailedPrecondition, Message: "no"},
	} {
		t.Run(refusal.Error(), func(t *testing.T) {
			inWorld(t, single(), func(w *world) {
				w.script(once(0, refusal))
				start := now()
				_, err := w.producer.Send(w.Context(), producer.Record{})
				if err == nil || producer.IsRetryable(err) || now() != start || len(w.gotAttempts()) != 1 {
					w.Fatalf("%v after %v and %d attempts", err, now()-start, len(w.gotAttempts()))
				}
			})
		})
	}
}
