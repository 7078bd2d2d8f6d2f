package producer_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
)

// answering has agents answer after delay.
func answering(delay time.Duration) func(*producertest.Attempt) producertest.Reply {
	return func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Delay: delay} }
}

// measured sends the first 40 records one after the other, so that it is known
// that answers take that long.
func (w *world) measured(delay time.Duration) {
	w.Helper()
	w.script(answering(delay))
	for n := range 40 {
		w.send(n, n)
		w.flush()
	}
}

// A connection that the network lost, and nobody was told: everything that was
// on it is delivered within seconds, once and in order.
func TestHedgeOfALostConnection(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.measured(20 * ms)
		before := w.cluster.Counts()
		start := now()
		w.cluster.Disconnect("a")
		w.send(40, 139)
		w.sendTo(1, 1000, 1009)
		time.Sleep(100 * ms)
		w.send(140, 149)
		w.flush()
		if took := now() - start; took < time.Second || took > 5*time.Second {
			w.Fatalf("took %v, want little more than a second", took)
		}
		after := w.cluster.Counts()
		if after.Streams != before.Streams+1 {
			w.Fatalf("%d new streams, want one", after.Streams-before.Streams)
		}
		if got := w.values(0); got != numbers(0, 149) {
			w.Fatalf("the log holds %s", got)
		}
		if got := w.values(1); got != numbers(1000, 1009) {
			w.Fatalf("the other log holds %s", got)
		}
		for _, r := range w.gotResults() {
			if r.err != nil {
				w.Fatalf("record %d: %v", r.n, r.err)
			}
		}
	})
}

// The request timeout drops the connection too. It was kept, and the next
// stream on it waited as long again.
func TestRequestTimeoutDropsTheConnection(t *testing.T) {
	for _, opt := range []producer.Option{producer.WithoutHedging(), producer.WithHedging(time.Second, 0.02)} {
		noPings := producer.WithDialOptions(grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Hour}))
		inWorld(t, single(opt, noPings), func(w *world) {
			w.send(0, 0) // too little is measured to hedge
			w.flush()
			start := now()
			w.cluster.Disconnect("a")
			w.send(1, 5)
			w.flush()
			w.checkAcked(0, 5)
			if took := now() - start; took != 30*time.Second {
				w.Fatalf("took %v, want the request timeout", took)
			}
		})
	}
}

// A connection that is lost while nothing waits on it is found by pings, so the
// next record does not have to wait for an answer that cannot come.
func TestPingsFindALostConnection(t *testing.T) {
	inWorld(t, single(producer.WithoutHedging()), func(w *world) {
		w.send(0, 0)
		w.flush()
		w.cluster.Disconnect("a")
		time.Sleep(16 * time.Second)
		start := now()
		w.send(1, 5)
		w.flush()
		w.checkAcked(0, 5)
		if took := now() - start; took > 2*time.Second {
			w.Fatalf("took %v", took)
		}
	})
}

// The threshold is a second, or three times the 99th percentile if that is
// longer, and up to a quarter more. Answers that come before are waited for.
func TestHedgeOnlyBeyondTheThreshold(t *testing.T) {
	for _, c := range []struct {
		usual, late time.Duration
		opt         producer.Option
		hedged      bool
	}{
		{20 * ms, 999 * ms, nil, false},
		{20 * ms, 1300 * ms, nil, true},
		{time.Second, 2900 * ms, nil, false},
		{time.Second, 4 * time.Second, nil, true},
		{20 * ms, 2900 * ms, producer.WithHedging(3*time.Second, 0.02), false},
		{20 * ms, 3800 * ms, producer.WithHedging(3*time.Second, 0.02), true},
		{20 * ms, 29 * time.Second, producer.WithoutHedging(), false},
	} {
		opts := single()
		if c.opt != nil {
			opts = append(opts, c.opt)
		}
		inWorld(t, opts, func(w *world) {
			w.measured(c.usual)
			w.script(func(a *producertest.Attempt) producertest.Reply {
				if a.Try > 1 {
					return producertest.Reply{} // the copy
				}
				return producertest.Reply{Delay: c.late}
			})
			start := now()
			w.send(40, 40)
			w.flush()
			w.checkAcked(0, 40)
			time.Sleep(c.late) // the first copy is appended late, or not
			w.checkAcked(0, 40)
			if got := w.cluster.Counts().Streams; (got > 1) != c.hedged {
				w.Errorf("usually %v, then %v: %d streams", c.usual, c.late, got)
			}
			if took := w.gotResults()[40].at - start; (took < c.late) != c.hedged {
				w.Errorf("usually %v, then %v: it took %v", c.usual, c.late, took)
			}
		})
	}
}

// An agent that stands still says nothing of the partition's new owner, which
// the producer finds by asking others.
func TestHedgeFindsTheNewOwner(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.cluster.Move(topic, 0, "b")
		w.measured(20 * ms)
		thaw := make(chan struct{})
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Agent == "b" {
				return producertest.Reply{Wait: thaw}
			}
			return producertest.Reply{}
		})
		w.send(40, 49)
		synctest.Wait()
		w.cluster.Move(topic, 0, "c")
		start := now()
		w.flush()
		w.checkAcked(0, 49)
		if took := now() - start; took > 2*time.Second {
			w.Fatalf("took %v", took)
		}
		close(thaw) // what it still has of ours, it may not append
		synctest.Wait()
		w.checkAcked(0, 49)
	})
}

// The same when the way to those who know is lost too: the connection for
// questions is replaced when an answer does not come.
func TestHedgeFindsTheNewOwnerOverAFreshConnection(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.cluster.Move(topic, 0, "b")
		w.measured(20 * ms)
		w.script(func(a *producertest.Attempt) producertest.Reply {
			return producertest.Reply{Silent: a.Agent == "b"}
		})
		w.cluster.Disconnect("a")
		w.cluster.Disconnect("b")
		w.cluster.Move(topic, 0, "c")
		w.send(40, 49)
		start := now()
		w.flush()
		w.checkAcked(0, 49)
		if took := now() - start; took > 15*time.Second {
			w.Fatalf("took %v", took)
		}
	})
}

// An agent that stands still takes connections, as far as the system goes, and
// says nothing on them. Whoever waits for one goes on asking for the owner. It
// waited for the dial timeout, with records that the new owner would take.
func TestSilentDialsAreLeftForTheNewOwner(t *testing.T) {
	inWorld(t, single(), func(w *world) {
		w.cluster.Move(topic, 0, "b")
		w.measured(20 * ms)
		w.cluster.Isolate("b")
		w.send(40, 49)
		time.Sleep(3 * time.Second)
		w.cluster.Move(topic, 0, "c")
		start := now()
		w.flush()
		w.checkAcked(0, 49)
		if took := now() - start; took > 1500*ms {
			w.Fatalf("took %v after the new owner was there", took)
		}
	})
}

// The same where the agent that stands still is the one that answered all
// questions so far: another one is asked beside it, also one that is only known
// as an owner.
func TestSilentAgentIsNotTheOnlyOneAsked(t *testing.T) {
	for _, target := range []string{"a", "a,b"} {
		inWorld(t, single(), func(w *world) {
			if err := w.producer.Close(w.Context()); err != nil {
				w.Fatal(err)
			}
			w.producer = w.newProducerAt(target, single()...)
			w.cluster.Move(topic, 1, "c")
			w.measured(20 * ms)
			w.sendTo(1, 1000, 1000)
			w.flush()
			w.cluster.Isolate("a")
			w.send(40, 49)
			time.Sleep(3 * time.Second)
			w.cluster.Move(topic, 0, "b")
			start := now()
			w.flush()
			if got := w.values(0); got != numbers(0, 49) {
				w.Fatalf("the log holds %s", got)
			}
			if took := now() - start; took > 2500*ms {
				w.Fatalf("from %s: took %v after the new owner was there", target, took)
			}
		})
	}
}

// An agent that stalls for everybody is not helped by sending again: the next
// streams wait longer, and all of it stays within the budget.
func TestHedgesAreBounded(t *testing.T) {
	inWorld(t, single(producer.WithRequestTimeout(10*time.Minute), producer.WithDeliveryTimeout(20*time.Minute)), func(w *world) {
		w.measured(20 * ms)
		w.script(func(*producertest.Attempt) producertest.Reply {
			if now() < 5*time.Minute {
				return producertest.Reply{Silent: true}
			}
			return producertest.Reply{}
		})
		w.send(40, 40)
		time.Sleep(5 * time.Minute)
		again := len(w.gotAttempts()) - 41
		// After 1, 2, 4, 8, 16 and 32 s, and then each 32 s, plus a quarter.
		if again < 5 || again > 14 {
			w.Errorf("sent again %d times in five minutes", again)
		}
		w.flush()
		w.checkAcked(0, 40)
	})
}

// A producer at speed, whose streams go silent again and again: what is sent
// again for it stays at one in fifty, and one every ten seconds.
func TestHedgeRatio(t *testing.T) {
	inWorld(t, single(producer.WithRequestTimeout(time.Hour), producer.WithDeliveryTimeout(2*time.Hour)), func(w *world) {
		w.measured(20 * ms)
		var deaf atomic.Int64 // streams up to this one
		w.script(func(a *producertest.Attempt) producertest.Reply {
			return producertest.Reply{Delay: 20 * ms, Silent: int64(a.Stream) <= deaf.Load()}
		})
		n := 40
		for range 30 {
			deaf.Store(int64(w.cluster.Counts().Streams))
			for range 600 {
				w.send(n, n)
				n++
				time.Sleep(50 * ms)
			}
		}
		sent, again := 0, 0
		for _, a := range w.gotAttempts() {
			if a.Try == 1 {
				sent++
			} else {
				again++
			}
		}
		most := sent/50 + int(now().Seconds()/10) + 1
		// The last hedge may have gone into debt for a window.
		if again > most+128 || again < most/2 || w.cluster.Counts().Streams < 3 {
			t.Errorf("%d batches in %v over %d streams: %d were sent again, want at most %d and a window",
				sent, now(), w.cluster.Counts().Streams, again, most)
		}
		w.flush()
		w.checkAcked(0, n-1)
	})
}

func TestHedgingIsChecked(t *testing.T) {
	for _, opt := range []producer.Option{
		producer.WithHedging(0, 0.1), producer.WithHedging(-1, 0.1), producer.WithHedging(time.Second, 0),
		producer.WithHedging(time.Second, -0.1), producer.WithHedging(time.Second, 1.1), producer.WithHedging(time.Second, math.NaN()),
	} {
		if _, err := producer.New(t.Context(), "localhost:1", opt); err == nil || !strings.Contains(err.Error(), "WithHedging") {
			t.Errorf("got %v", err)
		}
	}
}

// The estimate finds the 99th percentile of what it is given, follows it, and
// does not lose its head over a few extremes.
func TestLatencyEstimate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(median float64) time.Duration { // its 99th percentile is 3.2 times the median
		return time.Duration(median * math.Exp(rng.NormFloat64()/2) * float64(time.Second))
	}
	estimate := producer.NewLatency()
	check := func(what string, median float64) {
		t.Helper()
		got, known := estimate()
		want := 3.2 * median
		if !known || got.Seconds() < want*0.6 || got.Seconds() > want*1.7 {
			t.Errorf("%s: %v, known %v, want about %.3f s", what, got, known, want)
		}
	}
	for range 19 {
		estimate(draw(0.05))
	}
	if _, known := estimate(); known {
		t.Error("19 measurements are believed")
	}
	for range 2000 {
		estimate(draw(0.05))
	}
	check("50 ms", 0.05)
	for range 3 {
		estimate(time.Minute)
	}
	check("after three extremes", 0.05)
	for range 500 {
		estimate(draw(1))
	}
	check("20 times slower", 1)
	for range 10_000 {
		estimate(draw(0.05))
	}
	check("fast again", 0.05)
}
