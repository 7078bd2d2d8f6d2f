package quota

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name           string
		records, bytes int
		size, want     int // how many records of size fit
	}{
		{"by records", 3, 1000, 10, 3},
		{"by bytes", 100, 25, 10, 2},
		{"exactly", 3, 30, 10, 3},
		{"largest", MaxRecords, MaxBytes, MaxBytes, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := New(c.records, c.bytes)
			s := q.NewShare()
			n := 0
			for s.TryAcquire(c.size) {
				n++
			}
			if n != c.want {
				t.Fatalf("%d fit, want %d", n, c.want)
			}
			s.Release(n, n*c.size)
			if records, bytes := q.Used(); records != 0 || bytes != 0 {
				t.Fatalf("%d records and %d bytes are left over", records, bytes)
			}
		})
	}
}

// Hole 21: memory was unbounded. Many goroutines never hold more than the
// quota at once, and all get their turn.
func TestNeverExceededAndNobodyStarves(t *testing.T) {
	const goroutines, rounds, limit = 50, 200, 300
	q := New(7, limit)
	shares := []*Share{q.NewShare(), q.NewShare(), q.NewShare()}
	var held, worst atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			size := 10 + g*5 // up to 255 of 300: large ones compete with small
			s := shares[g%len(shares)]
			for range rounds {
				if err := s.Acquire(t.Context(), size); err != nil {
					t.Error(err)
					return
				}
				if now := held.Add(int64(size)); now > worst.Load() {
					worst.Store(now)
				}
				held.Add(-int64(size))
				s.Release(1, size)
			}
		})
	}
	wg.Wait()
	if worst.Load() > limit {
		t.Fatalf("%d bytes were held at once, limit %d", worst.Load(), limit)
	}
	if records, bytes := q.Used(); records+bytes != 0 || q.waiting.Load() != 0 {
		t.Fatalf("left over: %d records, %d bytes, %d waiters", records, bytes, q.waiting.Load())
	}
}

func TestWaitersAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(10, 10).NewShare()
		q.TryAcquire(10)
		var mu sync.Mutex
		var order []int
		for i, size := range []int{8, 1, 1} { // the small ones would fit first
			go func() {
				if err := q.Acquire(t.Context(), size); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			}()
			synctest.Wait()
		}
		q.Release(0, 5)
		synctest.Wait()
		if len(order) != 0 {
			t.Fatalf("%v overtook the first", order)
		}
		if q.TryAcquire(1) {
			t.Fatal("a newcomer overtook those that wait")
		}
		q.Release(1, 5)
		synctest.Wait()
		if len(order) != 3 {
			t.Fatalf("served %v, want all three", order)
		}
	})
}

// The bug this catches: the first waiter gives up, and those behind it, for
// whom there is room, sleep on.
func TestLeavingLetsOthersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(10, 10).NewShare()
		q.TryAcquire(5)
		ctx, cancel := context.WithCancelCause(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- q.Acquire(ctx, 8) }()
		synctest.Wait()
		go func() { second <- q.Acquire(t.Context(), 3) }()
		synctest.Wait()
		cause := errors.New("gave up")
		cancel(cause)
		if err := <-first; !errors.Is(err, cause) {
			t.Fatalf("got %v, want the context's cause", err)
		}
		if err := <-second; err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseWakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(1, 10).NewShare()
		q.TryAcquire(1)
		closed := errors.New("closed")
		results := make(chan error, 3)
		for range 3 {
			go func() { results <- q.Acquire(t.Context(), 1) }()
		}
		synctest.Wait()
		q.quota.Close(closed)
		for range 3 {
			if err := <-results; !errors.Is(err, closed) {
				t.Fatalf("got %v", err)
			}
		}
		if err := q.Acquire(t.Context(), 1); !errors.Is(err, closed) {
			t.Fatalf("after Close: got %v", err)
		}
	})
}

func TestAcquireHonoursDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(1, 10).NewShare()
		q.TryAcquire(1)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := q.Acquire(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		if waited := time.Since(start); waited != 3*time.Second {
			t.Fatalf("waited %v", waited)
		}
	})
}
