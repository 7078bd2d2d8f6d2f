package breaker_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer/internal/breaker"
)

func check(t *testing.T, b *breaker.Breaker, state breaker.State, wait time.Duration, ok bool) {
	t.Helper()
	if s, w, k := b.Allow(); s != state || w != wait || k != ok {
		t.Fatalf("allow: %v, %v, %v; want %v, %v, %v", s, w, k, state, wait, ok)
	}
}

func TestOpensAfterFailuresInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(3, time.Second)
		b.Fail()
		b.Fail()
		b.Succeed()
		b.Fail()
		if _, opened := b.Fail(); opened {
			t.Fatal("a success between failures does not count")
		}
		check(t, b, breaker.Closed, 0, true)
		if was, opened := b.Fail(); was != breaker.Closed || !opened {
			t.Fatal("three failures do not open it")
		}
		check(t, b, breaker.Open, time.Second, false)
		time.Sleep(400 * time.Millisecond)
		if _, opened := b.Fail(); opened { // of something that was begun before
			t.Fatal("opened twice")
		}
		check(t, b, breaker.Open, 600*time.Millisecond, false)
	})
}

func TestOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(1, time.Second)
		b.Fail()
		time.Sleep(time.Second)
		var probes atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, _, ok := b.Allow(); ok {
					probes.Add(1)
				}
			})
		}
		wg.Wait()
		if probes.Load() != 1 {
			t.Fatalf("%d probes", probes.Load())
		}
		check(t, b, breaker.HalfOpen, time.Second, false)
		if was, opened := b.Fail(); was != breaker.HalfOpen || !opened {
			t.Fatal("the probe's failure does not open it again")
		}
		check(t, b, breaker.Open, time.Second, false)

		time.Sleep(time.Second)
		check(t, b, breaker.HalfOpen, 0, true)
		b.Abandon()
		check(t, b, breaker.HalfOpen, 0, true) // the next one
		if !b.Succeed() || b.Succeed() {
			t.Fatal("the probe's success closes it, once")
		}
		check(t, b, breaker.Closed, 0, true)
		b.Abandon() // means nothing now
		check(t, b, breaker.Closed, 0, true)
	})
}

// Successes come with every answer: they cost nothing while all is well.
func BenchmarkSucceed(b *testing.B) {
	br := breaker.New(5, time.Second)
	b.ReportAllocs()
	for b.Loop() {
		br.Succeed()
	}
}
