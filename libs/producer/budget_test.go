package producer_test

import (
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// stubborn is a policy that leaves it to the budget how often is retried.
func stubborn() producer.Option {
	return producer.WithRetryPolicy(producer.RetryPolicy{
		MaxRetries: 1 << 20, InitialBackoff: 100 * ms, Multiplier: 1, MaxBackoff: 100 * ms,
	})
}

// storm has an agent refuse everything for a minute, and returns how many
// batches were sent the first time and how many again.
func storm(t *testing.T, opts ...producer.Option) (fresh, again int) {
	t.Helper()
	inWorld(t, append(single(stubborn()), opts...), func(w *world) {
		w.script(func(*producertest.Attempt) producertest.Reply {
			if now() < time.Minute {
				return producertest.Reply{Err: overloaded()}
			}
			return producertest.Reply{}
		})
		for partition := range int32(3) {
			w.sendTo(partition, 0, 199)
		}
		time.Sleep(time.Minute - 1)
		for _, a := range w.gotAttempts() {
			if a.Try == 1 {
				fresh++
			} else {
				again++
			}
		}
		// Nothing failed for it, and once it is over nothing waits long.
		w.flush()
		if late := now() - time.Minute; late > 11*time.Second {
			w.Errorf("the last record was %v late", late)
		}
		for partition := range 3 {
			if got := w.values(partition); got != numbers(0, 199) {
				w.Errorf("partition %d holds %s", partition, got)
			}
		}
	})
	return fresh, again
}

func TestRetryBudgetInAStorm(t *testing.T) {
	fresh, again := storm(t)
	// 100 are saved up at the start, 10 come every second, and each of three
	// partitions may owe a window.
	if most := fresh/5 + 100 + 60*10 + 3*128; again > most || again < 100 {
		t.Errorf("%d sent, %d sent again, want 100 to %d", fresh, again, most)
	}
	fresh, again = storm(t, producer.WithRetryBudget(0, 1))
	if most := 10 + 60 + 3*128; again > most || again < 10 {
		t.Errorf("1 per second: %d sent, %d sent again, want at most %d", fresh, again, most)
	}
	if fresh, again = storm(t, producer.WithoutRetryBudget()); again < 100*fresh {
		t.Errorf("without a budget only %d are sent again: the storm is none", again)
	}
}

// An agent that has room for a few batches at a time is not sent whole windows
// of which it refuses nearly all, and the log grows all the same.
func TestRetryBudgetWithASlowAgent(t *testing.T) {
	run := func(opts ...producer.Option) (attempts int, took time.Duration) {
		inWorld(t, append(single(stubborn()), opts...), func(w *world) {
			var mu sync.Mutex
			var window time.Duration
			room := 0
			w.script(func(*producertest.Attempt) producertest.Reply {
				mu.Lock()
				defer mu.Unlock()
				if at := now().Truncate(100 * ms); at != window {
					window, room = at, 4
				}
				if room--; room < 0 {
					return producertest.Reply{Err: overloaded()}
				}
				return producertest.Reply{Delay: ms}
			})
			w.send(0, 999)
			w.flush()
			w.checkAcked(0, 999)
			attempts, took = len(w.gotAttempts()), now()
		})
		return attempts, took
	}
	attempts, took := run()
	freely, freelyTook := run(producer.WithoutRetryBudget())
	t.Logf("1000 batches: %d attempts in %v, without a budget %d in %v", attempts, took, freely, freelyTook)
	if attempts > 4000 || freely < 10_000 {
		t.Errorf("%d attempts, without a budget %d", attempts, freely)
	}
	if took > 3*freelyTook {
		t.Errorf("took %v, without a budget %v", took, freelyTook)
	}
}

// Moves and lost connections are not paid for: a failure after many of them
// waits no longer than the policy says.
func TestRoutingIsNotPaidFor(t *testing.T) {
	inWorld(t, single(producer.WithRetryBudget(0, 1)), func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			switch {
			case now() < 5*time.Second && a.Header.Sequence == 100:
				return producertest.Reply{Break: producertest.Status(codes.Unavailable, "reset")}
			case now() < 10*time.Second:
				return producertest.Reply{Err: reason.New(reason.NotOwner, "moved")}
			}
			return producertest.Reply{}
		})
		w.send(0, 127)
		w.flush()
		w.checkAcked(0, 127)
		if n := len(w.gotAttempts()); n < 1000 {
			w.Fatalf("%d attempts", n)
		}
		start := now()
		w.script(once(128, overloaded()))
		if _, err := w.producer.Send(w.Context(), producer.Record{}); err != nil || now()-start != 100*ms {
			w.Fatalf("%v after %v", err, now()-start)
		}
	})
}

// When the budget is used up, one batch is sent until it is acknowledged, then
// two, four and so on.
func TestWindowGrowsAgain(t *testing.T) {
	inWorld(t, single(producer.WithRetryBudget(0, 1)), func(w *world) {
		gate := make(chan struct{})
		refuse := once(0, overloaded())
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if r := refuse(a); r.Err != nil || now() == 0 {
				return r // all behind it meet a gap
			}
			return producertest.Reply{Wait: gate}
		})
		w.send(0, 127)
		time.Sleep(10*time.Second - 1)
		if got := len(w.gotAttempts()); got != 128 {
			w.Fatalf("%d attempts while the budget is in debt, want none after the first 128", got)
		}
		time.Sleep(time.Nanosecond)
		for _, want := range []int{1, 2, 4, 8, 16, 32} {
			synctest.Wait()
			if got, _ := producer.InFlight(w.producer); got != want {
				w.Fatalf("%d batches are in flight, want %d", got, want)
			}
			for range want {
				gate <- struct{}{}
			}
		}
		close(gate)
		w.flush()
		w.checkAcked(0, 127)
	})
}

func TestRetryBudgetIsChecked(t *testing.T) {
	for _, opt := range []producer.Option{
		producer.WithRetryBudget(-0.1, 10), producer.WithRetryBudget(1.1, 10), producer.WithRetryBudget(0.2, 0),
		producer.WithRetryBudget(0.2, -1), producer.WithRetryBudget(math.NaN(), 1), producer.WithRetryBudget(0.2, math.NaN()),
		producer.WithRetryBudget(0.2, math.Inf(1)),
	} {
		if _, err := producer.New(t.Context(), "localhost:1", opt); err == nil || !strings.Contains(err.Error(), "WithRetryBudget") {
			t.Errorf("got %v", err)
		}
	}
}
