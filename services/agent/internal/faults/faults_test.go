package faults_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta/metatest"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
)

// Around a store it keeps the store's contract, whether it does nothing or is
// slow.
func TestConformance(t *testing.T) {
	t.Parallel()
	slow := faults.Latency{P50: 20 * time.Microsecond, P99: 100 * time.Microsecond}
	for name, plan := range map[string]faults.Plan{
		"nothing": {},
		"slow":    {Put: slow, Get: slow, Commit: slow, Read: slow},
		"never":   {Rules: []faults.Rule{{First: 1 << 40}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objstoretest.Run(t, func(*testing.T) objstore.Store {
				return faults.New(plan).Objects(memory.NewObjects())
			})
			metatest.Run(t, func(*testing.T) meta.Store {
				return faults.New(plan).Rows(memory.NewRows())
			})
		})
	}
}

// setup is an injector around stores of which a test sees both sides. Object
// "old" and row "old" are there already.
type setup struct {
	i                *faults.Injector
	objects, inside  objstore.Store
	rows, rowsInside meta.Store
}

func newSetup(t *testing.T, plan faults.Plan) setup {
	t.Helper()
	s := setup{i: faults.New(plan), inside: memory.NewObjects(), rowsInside: memory.NewRows()}
	s.objects, s.rows = s.i.Objects(s.inside), s.i.Rows(s.rowsInside)
	if err := s.inside.Put(t.Context(), "old", objstoretest.Body([]byte("old"))); err != nil {
		t.Fatal(err)
	}
	if err := s.rowsInside.Create(t.Context(), &meta.Counter{Name: "old"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// has tells whether an object or a row is there, behind the injector.
func (s setup) has(t *testing.T, key string) bool {
	t.Helper()
	_, err := s.inside.Get(t.Context(), key, 0, -1)
	return err == nil
}

func (s setup) version(t *testing.T, name string) uint64 {
	t.Helper()
	row := &meta.Counter{Name: name}
	if err := s.rowsInside.Get(t.Context(), row); err != nil && !errors.Is(err, meta.ErrNotFound) {
		t.Fatal(err)
	}
	return row.Version
}

// operation is one of each, and how to see from behind that it happened.
type operation struct {
	op       faults.Op
	run      func(ctx context.Context, t *testing.T, s setup) error
	happened func(t *testing.T, s setup) bool // nil: it changes nothing
}

var operations = []operation{
	{
		faults.Put,
		func(ctx context.Context, _ *testing.T, s setup) error {
			part := []byte("new")
			defer clear(part) // the caller's buffer is recycled
			return s.objects.Put(ctx, "new", objstoretest.Body(part))
		},
		func(t *testing.T, s setup) bool {
			t.Helper()
			got, err := s.inside.Get(t.Context(), "new", 0, -1)
			if err == nil && string(got) != "new" {
				t.Errorf("the object is %q, want what was put", got)
			}
			return err == nil
		},
	},
	{
		faults.Delete,
		func(ctx context.Context, _ *testing.T, s setup) error { return s.objects.Delete(ctx, "old") },
		func(t *testing.T, s setup) bool { t.Helper(); return !s.has(t, "old") },
	},
	{
		faults.RowCreate,
		func(ctx context.Context, t *testing.T, s setup) error {
			t.Helper()
			row := &meta.Counter{Name: "new"}
			defer func() { row.Name = "reused" }()
			return untouched(t, row, s.rows.Create(ctx, row))
		},
		func(t *testing.T, s setup) bool { t.Helper(); return s.version(t, "new") == 1 },
	},
	{
		faults.RowSwap,
		func(ctx context.Context, t *testing.T, s setup) error {
			t.Helper()
			row := &meta.Counter{Header: meta.Header{Version: 1}, Name: "old"}
			return untouched(t, row, s.rows.Swap(ctx, row))
		},
		func(t *testing.T, s setup) bool { t.Helper(); return s.version(t, "old") == 2 },
	},
	{
		faults.RowDelete,
		func(ctx context.Context, t *testing.T, s setup) error {
			t.Helper()
			row := &meta.Counter{Header: meta.Header{Version: 1}, Name: "old"}
			return untouched(t, row, s.rows.Delete(ctx, row))
		},
		func(t *testing.T, s setup) bool { t.Helper(); return s.version(t, "old") == 0 },
	},
	{faults.Get, func(ctx context.Context, _ *testing.T, s setup) error {
		got, err := s.objects.Get(ctx, "old", 0, -1)
		if err != nil && got != nil {
			return errors.New("get returned content with an error")
		}
		return err
	}, nil},
	{faults.List, func(ctx context.Context, _ *testing.T, s setup) error {
		return lastError(s.objects.List(ctx, ""))
	}, nil},
	{faults.RowGet, func(ctx context.Context, t *testing.T, s setup) error {
		t.Helper()
		row := &meta.Counter{Name: "old"}
		return untouched(t, row, s.rows.Get(ctx, row))
	}, nil},
	{faults.RowQuery, func(ctx context.Context, _ *testing.T, s setup) error {
		return lastError(s.rows.Query(ctx, meta.Counters, "old", 0))
	}, nil},
	{faults.RowQuery, func(ctx context.Context, _ *testing.T, s setup) error {
		return lastError(s.rows.Scan(ctx, meta.Counters))
	}, nil},
}

// untouched passes err on, and fails when there is one and the row has learnt
// something: a caller that got no reply cannot know a version.
func untouched(t *testing.T, row *meta.Counter, err error) error {
	t.Helper()
	before := uint64(0)
	if row.Version == 1 && row.Format == 0 {
		before = 1 // as the test gave it
	}
	if err != nil && row.Version != before {
		t.Errorf("after the error %v the caller's row has version %d", err, row.Version)
	}
	return err
}

func lastError[T any](all func(yield func(T, error) bool)) (last error) {
	for _, err := range all {
		last = err
	}
	return last
}

// Each kind of fault, at each operation: what its caller gets and when, and
// what becomes of the store and when.
func TestKinds(t *testing.T) {
	t.Parallel()
	const latency, pause = 10 * time.Millisecond, 300 * time.Millisecond
	for _, c := range []struct {
		kind     faults.Kind
		fails    bool
		returns  time.Duration // of a write
		reads    time.Duration // the same of a read
		happens  bool
		delay    time.Duration // from the return until it happens
		injected uint64
	}{
		{faults.ErrBefore, true, latency + pause, latency + pause, false, 0, 1},
		{faults.ErrAfter, true, latency + pause, latency + pause, true, 0, 1},
		{faults.Pause, false, latency + pause, latency + pause, true, 0, 1},
		{faults.Late, true, latency, latency, true, pause, 1},
	} {
		for _, o := range operations {
			t.Run(fmt.Sprint(c.kind, "/", o.op), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					always := faults.Latency{P50: latency}
					s := newSetup(t, faults.Plan{
						Put: always, Get: always, Commit: always, Read: always,
						Rules: []faults.Rule{{Op: o.op, Kind: c.kind, Pause: pause}},
					})
					start := time.Now()
					err := o.run(t.Context(), t, s)
					took := time.Since(start)
					if c.fails != (err != nil) || c.fails && !errors.Is(err, faults.ErrInjected) {
						t.Errorf("got error %v, want one: %v", err, c.fails)
					}
					if want := fmt.Sprintf("%s 1", o.op); c.fails && !strings.Contains(fmt.Sprint(err), want) {
						t.Errorf("%q does not say %q", err, want)
					}
					if took != c.returns {
						t.Errorf("returned after %v, want %v", took, c.returns)
					}
					if n := s.i.Injected(); n != c.injected {
						t.Errorf("counted %d faults, want %d", n, c.injected)
					}
					if o.happened == nil {
						return
					}
					if c.delay > 0 {
						time.Sleep(c.delay - 1)
						synctest.Wait()
						if o.happened(t, s) {
							t.Error("it happened too early")
						}
					}
					time.Sleep(time.Nanosecond)
					synctest.Wait()
					if o.happened(t, s) != c.happens {
						t.Errorf("it happened: %v, want %v", !c.happens, c.happens)
					}
				})
			})
		}
	}
}

// A caller that gives up while its request is under way does not know whether
// it happens; a seed decides, and when it does, it is when it would have been.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	const seeds = 40
	for _, o := range operations {
		if o.happened == nil {
			continue
		}
		t.Run(o.op.String(), func(t *testing.T) {
			t.Parallel()
			var first [seeds]bool
			landed := 0
			for round := range 2 {
				for seed := range uint64(seeds) {
					lands := giveUp(t, o, seed)
					if round == 0 {
						first[seed] = lands
					} else if lands != first[seed] {
						t.Errorf("seed %d decided in two ways", seed)
					}
					if lands {
						landed++
					}
				}
			}
			if landed < seeds/2 || landed > 2*seeds-seeds/2 {
				t.Errorf("%d of %d landed, want about half", landed, 2*seeds)
			}
		})
	}
}

func giveUp(t *testing.T, o operation, seed uint64) (lands bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		always := faults.Latency{P50: 100 * time.Millisecond}
		s := newSetup(t, faults.Plan{Seed: seed, Put: always, Commit: always})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		if err := o.run(ctx, t, s); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
		time.Sleep(70*time.Millisecond - 1)
		synctest.Wait()
		if o.happened(t, s) {
			t.Error("it happened too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		lands = o.happened(t, s)
	})
	return lands
}

// A request that was lost stays lost when its caller gives up as well.
func TestGivingUpALostRequest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			s := newSetup(t, faults.Plan{
				Seed: seed, Put: faults.Latency{P50: time.Second}, Rules: []faults.Rule{{Op: faults.Put}},
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			err := s.objects.Put(ctx, "new", objstoretest.Body([]byte("new")))
			s.i.Wait()
			if err == nil || s.has(t, "new") {
				t.Errorf("seed %d: got %v, and it happened: %v", seed, err, s.has(t, "new"))
			}
		})
	}
}

// A deadline at the very moment at which the request arrives must not make two
// runs differ.
func TestTie(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		first := false
		for round := range 20 {
			synctest.Test(t, func(t *testing.T) {
				s := newSetup(t, faults.Plan{Seed: seed, Put: faults.Latency{P50: time.Second}})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := s.objects.Delete(ctx, "old")
				s.i.Wait()
				happened := !s.has(t, "old")
				if round == 0 {
					first = happened
				}
				if !errors.Is(err, context.DeadlineExceeded) || happened != first {
					t.Fatalf("seed %d, round %d: got %v, and it happened: %v", seed, round, err, happened)
				}
			})
		}
	}
}

// Close of either store leaves no write behind that lands in a closed store.
func TestCloseWaitsForWhatIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, faults.Plan{Rules: []faults.Rule{
			{Kind: faults.Late, Every: 1, Pause: time.Minute},
		}})
		start := time.Now()
		if err := s.objects.Put(t.Context(), "new", objstoretest.Body([]byte("new"))); !errors.Is(err, faults.ErrInjected) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := s.rows.Create(t.Context(), &meta.Counter{Name: "new"}); !errors.Is(err, faults.ErrInjected) {
			t.Fatal(err)
		}
		if err := s.objects.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 70*time.Second {
			t.Errorf("close returned after %v, want 70s", took)
		}
		if !s.has(t, "new") || s.version(t, "new") != 1 {
			t.Error("close did not wait for the late writes")
		}
		s.i.Wait()
	})
}

// No lock is held while an operation waits: a hundred take as long as one, and
// the bubble's clock moves.
func TestConcurrentLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, faults.Plan{Put: faults.Latency{P50: time.Second}, Rules: []faults.Rule{
			{Op: faults.Put, First: 50, Every: 2, Kind: faults.Pause, Pause: time.Second},
		}})
		start := time.Now()
		var wg sync.WaitGroup
		for n := range 100 {
			wg.Go(func() {
				if err := s.objects.Put(t.Context(), fmt.Sprint(n), objstoretest.Body(nil)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("100 concurrent puts took %v, want 2s", took)
		}
		if n := s.i.Injected(); n != 26 {
			t.Errorf("injected %d faults, want 26", n)
		}
	})
}
