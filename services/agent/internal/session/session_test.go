package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

var (
	options = Options{
		Agent: "agent-1", Addresses: map[string]string{"internal": "10.0.0.1:7000"}, Zone: "z", Release: "v1",
		Heartbeat: time.Second, Lease: 10 * time.Second,
	}
	errEnd = errors.New("the test ended")
)

// running is a session whose Run is under way, in a bubble.
type running struct {
	*Session
	t     *testing.T
	rows  *memory.Rows
	ended chan error
	end   context.CancelCauseFunc
}

func start(t *testing.T, rules ...faults.Rule) (*running, *faults.Injector) {
	t.Helper()
	injector := faults.New(faults.Plan{Rules: rules})
	r := &running{t: t, rows: memory.NewRows(), ended: make(chan error, 1)}
	var err error
	if r.Session, err = Start(t.Context(), injector.Rows(r.rows), options, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, r.end = context.WithCancelCause(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { r.end(errEnd) })
	go func() { r.ended <- r.Run(ctx) }()
	return r, injector
}

func (r *running) stored() *meta.Session {
	r.t.Helper()
	row := &meta.Session{ID: r.ID}
	if err := r.rows.Get(r.t.Context(), row); err != nil {
		r.t.Fatal(err)
	}
	return row
}

// stop expects that the session still lives.
func (r *running) stop() {
	r.t.Helper()
	r.end(errEnd)
	if err := <-r.ended; !errors.Is(err, errEnd) {
		r.t.Errorf("the session ended with %v", err)
	}
}

// Others see the heartbeat rise once per interval, beside what they need to
// know; an idle session writes nothing else.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, injector := start(t)
		row := s.stored()
		if row.Agent != "agent-1" || row.Addresses["internal"] != "10.0.0.1:7000" || row.Zone != "z" || row.Release != "v1" ||
			row.ReadsFormat != meta.Format || row.LeaseMillis != 10_000 || row.Sealed || len(s.ID) != 32 {
			t.Errorf("registered as %+v", row)
		}
		time.Sleep(time.Hour + time.Millisecond)
		if got := s.stored().Beat; got != 3600 {
			t.Errorf("%d beats in an hour", got)
		}
		if ops := injector.Ops(); ops[faults.RowSwap] != 3600 || ops[faults.RowCreate] != 1 || len(ops) != 2 {
			t.Errorf("it cost %v", ops)
		}
		s.stop()
	})
}

func TestFreshIDs(t *testing.T) {
	rows := memory.NewRows()
	ids := map[string]bool{}
	for range 100 {
		s, err := Start(t.Context(), rows, options, slog.New(slog.DiscardHandler))
		if err != nil || ids[s.ID] {
			t.Fatalf("%s, %v", s.ID, err)
		}
		ids[s.ID] = true
	}
}

// Answers that are lost, and beats that land late, do not end a session that
// nobody sealed, nor its lease.
func TestLostAnswers(t *testing.T) {
	for _, rule := range []faults.Rule{
		{Op: faults.RowSwap, First: 1, Every: 3, Kind: faults.ErrAfter},
		{Op: faults.RowSwap, First: 2, Every: 2, Kind: faults.ErrBefore},
		{Op: faults.RowSwap, First: 1, Every: 3, Kind: faults.Late, Pause: 1500 * time.Millisecond},
		{First: 1, Every: 5, Kind: faults.ErrAfter},
		{Op: faults.RowSwap, First: 1, Every: 3, Kind: faults.Pause, Pause: 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			if rule.Op == 0 {
				rule.First = 2 // the session is registered
			}
			s, injector := start(t, rule)
			for range 600 {
				time.Sleep(time.Second)
				if err := s.Valid(time.Now()); err != nil {
					t.Fatalf("%v: %v", rule, err)
				}
				if len(s.ended) > 0 {
					t.Fatalf("%v: ended with %v", rule, <-s.ended)
				}
			}
			if injector.Injected() < 50 {
				t.Errorf("%v: only %d faults", rule, injector.Injected())
			}
			s.stop()
			injector.Wait()
		})
	}
}

// A session that cannot renew stops before others may act, and goes on when
// the store is back and nobody did.
func TestLeaseExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, injector := start(t, faults.Rule{Op: faults.RowSwap, Every: 1, Kind: faults.ErrBefore})
		injector.Disarm()
		time.Sleep(5 * time.Second) // the last beat goes through at that moment
		synctest.Wait()
		injector.Arm()
		time.Sleep(8*time.Second - time.Millisecond)
		if err := s.Valid(time.Now()); err != nil {
			t.Errorf("before the margin: %v", err)
		}
		time.Sleep(time.Millisecond)
		err := s.Valid(time.Now())
		if !errors.Is(err, reason.LeaseExpired) {
			t.Errorf("within the margin: %v", err)
		}
		time.Sleep(time.Hour)
		if err := s.Valid(time.Now()); !errors.Is(err, reason.LeaseExpired) {
			t.Errorf("an hour later: %v", err)
		}
		injector.Disarm()
		time.Sleep(time.Second)
		synctest.Wait()
		if err := s.Valid(time.Now()); err != nil {
			t.Errorf("with the store back: %v", err)
		}
		s.stop()
	})
}

// The lease counts from before the renewal was sent: a slow answer must not
// lengthen it, for others may have begun to watch at once.
func TestLeaseCountsFromRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t,
			faults.Rule{Op: faults.RowSwap, First: 1, Kind: faults.Pause, Pause: 4 * time.Second},
			faults.Rule{Op: faults.RowSwap, First: 2, Every: 1, Kind: faults.ErrBefore})
		time.Sleep(9*time.Second - time.Millisecond) // sent at 1 s, done at 5 s
		if err := s.Valid(time.Now()); err != nil {
			t.Errorf("8 s after the request: %v", err)
		}
		time.Sleep(time.Millisecond)
		if err := s.Valid(time.Now()); !errors.Is(err, reason.LeaseExpired) {
			t.Errorf("8 s after the request: %v", err)
		}
		s.stop()
	})
}

// After a seal, heartbeats are refused and the session is finished (R7); the
// journal was sealed before the row.
func TestSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t)
		w := journal.NewWriter(s.rows, s.ID)
		if err := w.Append(t.Context(), []meta.Segment{{Key: "x/1"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2500 * time.Millisecond)
		if err := Seal(t.Context(), s.rows, s.ID, "next", 0); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := <-s.ended; !errors.Is(err, ErrSealed) || time.Since(began) > time.Second {
			t.Errorf("ended after %v with %v", time.Since(began), err)
		}
		if err := w.Append(t.Context(), []meta.Segment{{Key: "x/2"}}); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("committed with %v", err)
		}
		row := s.stored()
		if !row.Sealed || row.Beat != 2 || row.Agent != "agent-1" {
			t.Errorf("the row is %+v", row)
		}
	})
}

// order is a store that notes in which order rows of two kinds were written.
type order struct {
	meta.Store
	kinds []meta.Kind
}

func (o *order) Create(ctx context.Context, row meta.Row) error {
	o.kinds = append(o.kinds, row.Kind())
	return o.Store.Create(ctx, row)
}

func (o *order) Swap(ctx context.Context, row meta.Row) error {
	o.kinds = append(o.kinds, row.Kind())
	return o.Store.Swap(ctx, row)
}

// The journal is sealed before the row is (R4): a session whose heartbeats are
// refused must not be able to commit.
func TestSealOrder(t *testing.T) {
	rows := memory.NewRows()
	s, err := Start(t.Context(), rows, options, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o := &order{Store: rows}
	if err := Seal(t.Context(), o, s.ID, "next", 0); err != nil {
		t.Fatal(err)
	}
	if len(o.kinds) != 2 || o.kinds[0] != meta.Journal || o.kinds[1] != meta.Sessions {
		t.Errorf("written were %v", o.kinds)
	}
	if err := s.End(t.Context(), 0); err != nil { // again is no harm
		t.Error(err)
	}
	if err := Seal(t.Context(), rows, "nobody", "next", 0); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("sealed who never was: %v", err)
	}
}

// Two seal one live session at a time, over networks that lose what they can:
// both succeed, there is one seal, and the session ends.
func TestSealedByTwo(t *testing.T) {
	for first := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			s, _ := start(t)
			var group sync.WaitGroup
			for i, kind := range []faults.Kind{faults.ErrAfter, faults.Late} {
				group.Go(func() {
					time.Sleep(999*time.Millisecond + time.Duration(i)*time.Millisecond)
					injector := faults.New(faults.Plan{
						Seed: first, Commit: faults.Latency{P50: time.Millisecond, P99: 5 * time.Millisecond},
						Rules: []faults.Rule{{First: 1 + first, Every: 4, Kind: kind, Pause: 30 * time.Millisecond}},
					})
					if err := Seal(t.Context(), injector.Rows(s.rows), s.ID, "next", 0); err != nil {
						t.Errorf("fault %d, sealer %d: %v", first, i, err)
					}
					injector.Wait()
				})
			}
			group.Wait()
			if err := <-s.ended; !errors.Is(err, ErrSealed) {
				t.Errorf("fault %d: ended with %v", first, err)
			}
			seals := 0
			for row, err := range journal.Read(t.Context(), s.rows, s.ID, 0) {
				if err != nil || !row.Seal {
					t.Fatal(row, err)
				}
				seals++
			}
			if seals != 1 || !s.stored().Sealed {
				t.Errorf("fault %d: %d seals, and the row is %+v", first, seals, s.stored())
			}
		})
	}
}

// A seal that cannot be set says so when its time is up, and the session goes
// on.
func TestSealGivesUp(t *testing.T) {
	for _, op := range []faults.Op{faults.RowCreate, faults.RowSwap, faults.RowGet} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := start(t)
			down := faults.New(faults.Plan{Rules: []faults.Rule{{Op: op, Every: 1, Kind: faults.ErrBefore}}})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := Seal(ctx, down.Rows(s.rows), s.ID, "next", 0); !errors.Is(err, faults.ErrInjected) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v: sealed with %v", op, err)
			}
			if s.stored().Sealed {
				t.Errorf("%v: the row is sealed", op)
			}
			s.stop()
		})
	}
}
