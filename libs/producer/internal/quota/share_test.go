package quota

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

// fill takes records of one byte until there is no more.
func fill(s *Share) int {
	n := 0
	for s.TryAcquire(1) {
		n++
	}
	return n
}

// However many shares never give anything back, there is room for another.
func TestSharesLeaveRoom(t *testing.T) {
	for _, limit := range []struct{ records, bytes int }{{2100, MaxBytes}, {MaxRecords, 2100}} {
		for k := 1; k <= 10; k++ {
			q := New(limit.records, limit.bytes)
			other := q.NewShare()
			shares := make([]*Share, k)
			for i := range shares {
				shares[i] = q.NewShare()
			}
			held := 0
			for full := false; !full; { // they grow together
				full = true
				for _, s := range shares {
					if s.TryAcquire(1) {
						held++
						full = false
					}
				}
			}
			if want := 2100 / (2*k + 1); 2100-held < want-2 || 2100-held > want+2 {
				t.Fatalf("%d shares leave %d, want about %d", k, 2100-held, want)
			}
			if fill(other) == 0 {
				t.Fatal("no room for another")
			}
		}
	}
}

// One after the other they leave a third of what they found.
func TestShareLeavesAThird(t *testing.T) {
	q := New(2700, MaxBytes)
	q.NewShare()
	for _, want := range []int{1800, 600, 200} {
		if got := fill(q.NewShare()); got < want-1 || got > want+1 {
			t.Fatalf("a share takes %d, want about %d", got, want)
		}
	}
}

func TestOnlyShareHasEverything(t *testing.T) {
	if got := fill(New(100, 1000).NewShare()); got != 100 {
		t.Fatalf("%d records, want 100", got)
	}
}

// A record as large as the quota gets in, when there is nothing else.
func TestEmptyShareMayTakeAllThatIsFree(t *testing.T) {
	q := New(10, 1000)
	a, b := q.NewShare(), q.NewShare()
	if !a.TryAcquire(1000) {
		t.Fatal("refused")
	}
	if b.TryAcquire(1) {
		t.Fatal("there is no room")
	}
	a.Release(1, 1000)
	if !b.TryAcquire(1) {
		t.Fatal("refused")
	}
}

// The bug this catches: those who wait for the share of a partition that is
// stuck stand in front of those of all others.
func TestWaitersOfOneShareDoNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(90, 1000)
		stuck, other := q.NewShare(), q.NewShare()
		fill(stuck)
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		gaveUp := errors.New("gave up")
		for range 5 {
			wg.Go(func() {
				if err := stuck.Acquire(ctx, 1); !errors.Is(err, gaveUp) {
					t.Errorf("a stuck share got more: %v", err)
				}
			})
		}
		synctest.Wait()
		for range 1000 {
			if !other.TryAcquire(1) {
				t.Fatal("refused")
			}
			other.Release(1, 1)
		}
		synctest.Wait()
		cancel(gaveUp)
		wg.Wait()
	})
}

// What others give back lets a waiting share grow.
func TestShareGrowsWithWhatIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(90, 1000)
		a, b := q.NewShare(), q.NewShare()
		b.TryAcquire(1)
		n := 1 + fill(b)/2
		b.Release(n, n)
		n, _ = b.Used()
		fill(a)
		got := make(chan error, 1)
		go func() { got <- a.Acquire(t.Context(), 1) }()
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("served too early: %v", err)
		default:
		}
		b.Release(n, n)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	})
}

// Shares take turns: one with many waiters does not keep another's out.
func TestSharesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(100, 30)
		holder, many, one := q.NewShare(), q.NewShare(), q.NewShare()
		holder.TryAcquire(30)
		served := make(chan string, 10)
		wait := func(s *Share, name string) {
			go func() {
				if s.Acquire(t.Context(), 3) == nil {
					served <- name
				}
			}()
			synctest.Wait()
		}
		for range 5 {
			wait(many, "many")
		}
		wait(one, "one")
		holder.Release(0, 6)
		synctest.Wait()
		if first, second := <-served, <-served; first == second {
			t.Fatalf("served %s twice", first)
		}
		holder.Release(1, 24)
		synctest.Wait()
		if len(served) != 4 {
			t.Fatalf("%d of 4 were served", len(served))
		}
	})
}
