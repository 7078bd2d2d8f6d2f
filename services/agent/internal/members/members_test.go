package members

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
)

const (
	heartbeat = 2 * time.Second
	lease     = 10 * time.Second
	tick      = heartbeat / 2
)

var errEnd = errors.New("the test ended")

// run starts a session whose requests pass through a network of their own.
func run(t *testing.T, rows meta.Store, rules ...faults.Rule) (*session.Session, *faults.Injector, func()) {
	t.Helper()
	network := faults.New(faults.Plan{Rules: rules})
	s, err := session.Start(t.Context(), network.Rows(rows), session.Options{Agent: "a", Heartbeat: heartbeat, Lease: lease}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	crash := func() {
		stop(errEnd)
		if err := <-ended; !errors.Is(err, errEnd) {
			t.Errorf("a session ended with %v", err)
		}
	}
	t.Cleanup(func() { stop(errEnd) })
	return s, network, crash
}

func look(t *testing.T, w *Watcher) *View {
	t.Helper()
	v, err := w.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Troubles...); err != nil {
		t.Fatal(err)
	}
	return v
}

// watchFor looks at every tick, and as soon as the view says that somebody is
// due, until somebody is dead or d has passed.
func watchFor(t *testing.T, w *Watcher, d time.Duration) (*View, time.Duration) {
	t.Helper()
	began := time.Now()
	for {
		v := look(t, w)
		if len(v.Dead) > 0 || time.Since(began) >= d {
			return v, time.Since(began)
		}
		wait := tick
		if until := time.Until(v.Next); !v.Next.IsZero() && until > 0 {
			wait = min(wait, until)
		}
		time.Sleep(wait)
	}
}

// A session that crashed is dead after its lease, not before, and no later than
// a tick after that; whatever phase the watcher is in, and whatever times stand
// in the row (hole 12: wall clocks of machines were compared).
func TestCrash(t *testing.T) {
	for phase := range 20 {
		synctest.Test(t, func(t *testing.T) {
			rows := memory.NewRows()
			self, _, _ := run(t, rows)
			time.Sleep(time.Duration(phase) * 100 * time.Millisecond)
			other, _, crash := run(t, rows)
			row := &meta.Session{ID: other.ID}
			if err := rows.Get(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			row.StartedMillis = map[bool]int64{true: 0, false: math.MaxInt64}[phase%2 == 0]
			if err := rows.Swap(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			w := New(rows, self.ID, self.Steady)
			if v, after := watchFor(t, w, time.Minute+time.Duration(phase)*77*time.Millisecond); len(v.Dead) > 0 || len(v.Live) != 2 {
				t.Fatalf("after %s: %+v", after, v)
			}
			crash()
			if err := rows.Get(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			v, after := watchFor(t, w, time.Minute)
			if len(v.Dead) != 1 || v.Dead[0].ID != other.ID || len(v.Live) != 1 {
				t.Fatalf("after %s: %+v", after, v)
			}
			if after < lease-heartbeat || after > lease+tick {
				t.Errorf("dead after %s", after)
			}
			if err := session.Seal(t.Context(), rows, other.ID, self.ID, v.Dead[0].Tail); err != nil {
				t.Fatal(err)
			}
			if v := look(t, w); len(v.Dead) > 0 || len(v.Live) != 1 || !v.Sealed[other.ID] {
				t.Errorf("once sealed: %+v", v)
			}
		})
	}
}

// Who cannot renew its own lease judges nobody: a store that refuses heartbeats
// would else have everyone seal everyone (R8). Once it can, it watches for a
// whole lease first.
func TestOwnHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := memory.NewRows()
		self, selfNet, _ := run(t, rows, faults.Rule{Op: faults.RowSwap, First: 5, Every: 1, Kind: faults.ErrBefore})
		_, otherNet, _ := run(t, rows, faults.Rule{Op: faults.RowSwap, First: 5, Every: 1, Kind: faults.ErrBefore})
		w := New(rows, self.ID, self.Steady)
		if v, after := watchFor(t, w, 5*time.Minute); len(v.Dead) > 0 {
			t.Fatalf("judged after %s", after)
		}
		selfNet.Disarm()
		v, after := watchFor(t, w, time.Minute)
		if len(v.Dead) != 1 || after < lease || after > lease+2*tick {
			t.Errorf("judged after %s: %+v", after, v)
		}
		otherNet.Disarm()
		time.Sleep(heartbeat)
		if v := look(t, w); len(v.Dead) > 0 {
			t.Errorf("dead although its heartbeat moves: %+v", v.Dead)
		}
	})
}

// A watcher that stood still itself has seen nothing meanwhile.
func TestOwnPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := memory.NewRows()
		self, _, crash := run(t, rows, faults.Rule{Op: faults.RowSwap, First: 3, Kind: faults.Pause, Pause: 4 * time.Second})
		other, _, _ := run(t, rows, faults.Rule{Op: faults.RowSwap, First: 1, Every: 1, Kind: faults.ErrBefore})
		w := New(rows, self.ID, self.Steady)
		look(t, w)
		time.Sleep(3 * time.Second)
		crash() // its heartbeats stop, as if the process stood still
		time.Sleep(time.Minute)
		if v := look(t, w); len(v.Dead) > 0 {
			t.Errorf("judged %s without having watched", other.ID)
		}
	})
}

// A session whose heartbeats are refused and whose commits are not works: it is
// dead only when its journal stands still too.
func TestJournalMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := memory.NewRows()
		self, _, _ := run(t, rows)
		other, _, _ := run(t, rows, faults.Rule{Op: faults.RowSwap, First: 3, Every: 1, Kind: faults.ErrBefore})
		writer := journal.NewWriter(rows, other.ID)
		commits, stop := context.WithCancel(t.Context())
		defer stop()
		go func() {
			for i := 0; commits.Err() == nil; i++ {
				if err := writer.Append(commits, []meta.Segment{{Key: fmt.Sprint("s/", i), Size: 1}}); err != nil {
					return
				}
				time.Sleep(3 * time.Second)
			}
		}()
		w := New(rows, self.ID, self.Steady)
		if v, after := watchFor(t, w, 2*time.Minute); len(v.Dead) > 0 {
			t.Fatalf("dead after %s while it commits", after)
		}
		stop()
		v, after := watchFor(t, w, time.Minute)
		if len(v.Dead) != 1 || after < lease-3*time.Second || after > lease+4*tick {
			t.Fatalf("after %s: %+v", after, v)
		}
		if tail, err := journal.Tail(t.Context(), rows, other.ID, 0); err != nil || v.Dead[0].Tail != tail {
			t.Errorf("the tail is %d, not %d (%v)", tail, v.Dead[0].Tail, err)
		}
	})
}

// To watch costs a scan at each look, and nothing more while all are well.
func TestCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := memory.NewRows()
		self, _, _ := run(t, rows)
		for range 5 {
			run(t, rows)
		}
		counter := faults.New(faults.Plan{})
		w := New(counter.Rows(rows), self.ID, self.Steady)
		watchFor(t, w, time.Hour)
		if ops := counter.Ops(); ops[faults.RowQuery] != 3601 || len(ops) != 1 {
			t.Errorf("an hour of watching cost %v", ops)
		}
	})
}
