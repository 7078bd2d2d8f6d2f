package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
)

// A renewal whose answer is lost stands, and the session reads that it does. It
// took such a one for missed, and refused what it could have committed.
func TestEveryAnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, faults.Rule{Op: faults.RowSwap, Every: 1, Kind: faults.ErrAfter})
		for second := range 60 {
			if err := s.Valid(time.Now()); err != nil {
				t.Fatalf("after %d s: %v", second, err)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if since, ok := s.Steady(time.Now()); !ok || time.Since(since) != time.Minute {
			t.Errorf("steady since %v, %v", time.Since(since), ok)
		}
		if beat := s.stored().Beat; beat != 60 {
			t.Errorf("%d beats in a minute", beat)
		}
		s.stop()
	})
}

// A session that could not renew its lease is not steady until it can again,
// and then only from there on.
func TestSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, injector := start(t, faults.Rule{Op: faults.RowSwap, First: 4, Every: 1, Kind: faults.ErrBefore})
		time.Sleep(3500 * time.Millisecond)
		if since, ok := s.Steady(time.Now()); !ok || time.Since(since) != 3500*time.Millisecond {
			t.Errorf("at first steady since %v, %v", time.Since(since), ok)
		}
		time.Sleep(2 * time.Second)
		if _, ok := s.Steady(time.Now()); ok {
			t.Error("steady without a heartbeat for 2.5 s")
		}
		injector.Disarm()
		time.Sleep(3 * time.Second)
		if since, ok := s.Steady(time.Now()); !ok || time.Since(since) > 3250*time.Millisecond {
			t.Errorf("with the store back steady since %v, %v", time.Since(since), ok)
		}
		s.stop()
	})
}

// A heartbeat that failed is tried again before the next is due.
func TestBeatAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, faults.Rule{Op: faults.RowSwap, First: 1, Every: 2, Kind: faults.ErrBefore})
		time.Sleep(10 * time.Second)
		if since, ok := s.Steady(time.Now()); !ok || time.Since(since) != 10*time.Second {
			t.Errorf("steady since %v, %v", time.Since(since), ok)
		}
		s.stop()
	})
}

// The others read in the row that a session leaves, long before the next
// heartbeat.
func TestWithdraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t)
		time.Sleep(100 * time.Millisecond)
		s.Withdraw()
		time.Sleep(time.Millisecond)
		if row := s.stored(); !row.Leaving || row.Beat != 1 {
			t.Errorf("the row is %+v", row)
		}
		s.stop()
	})
}
