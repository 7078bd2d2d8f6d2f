package faults_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
)

// failing tells which of n Gets fail.
func failing(t *testing.T, s setup, n int) []int {
	t.Helper()
	var failed []int
	for op := 1; op <= n; op++ {
		if _, err := s.objects.Get(t.Context(), "old", 0, -1); errors.Is(err, faults.ErrInjected) {
			failed = append(failed, op)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return failed
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rules []faults.Rule
		want  []int // of 12
	}{
		{nil, nil},
		{[]faults.Rule{{}}, []int{1}},
		{[]faults.Rule{{First: 3}}, []int{3}},
		{[]faults.Rule{{First: 3, Every: 4}}, []int{3, 7, 11}},
		{[]faults.Rule{{First: 11, Every: 1}}, []int{11, 12}},
		{[]faults.Rule{{Op: faults.Put, First: 1, Every: 1}}, nil},
		{[]faults.Rule{{Op: faults.Put | faults.Get, First: 2, Every: 5}}, []int{2, 7, 12}},
		{[]faults.Rule{{First: 2, Every: 4}, {First: 2, Every: 3}}, []int{2, 5, 6, 8, 10, 11}},
		// A pause is no failure, and comes first where both would act.
		{[]faults.Rule{{First: 2, Every: 2, Kind: faults.Pause}, {First: 3, Every: 3}}, []int{3, 9}},
	} {
		s := newSetup(t, faults.Plan{Rules: c.rules})
		if got := failing(t, s, 12); !slices.Equal(got, c.want) {
			t.Errorf("%v: operations %v failed, want %v", c.rules, got, c.want)
		}
	}
}

// A test sets up and looks at the outcome without faults; the N-th operation
// is counted in between.
func TestDisarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		always := faults.Latency{P50: time.Second}
		s := newSetup(t, faults.Plan{Get: always, Rules: []faults.Rule{{First: 2, Every: 1}}})
		s.i.Disarm()
		start := time.Now()
		if failed := failing(t, s, 5); failed != nil || time.Since(start) > 0 {
			t.Errorf("disarmed: %v failed, and it took %v", failed, time.Since(start))
		}
		s.i.Arm()
		if failed := failing(t, s, 3); !slices.Equal(failed, []int{2, 3}) || time.Since(start) != 3*time.Second {
			t.Errorf("armed: %v failed, and it took %v", failed, time.Since(start))
		}
	})
}

func TestCounts(t *testing.T) {
	t.Parallel()
	s := newSetup(t, faults.Plan{Rules: []faults.Rule{{Op: faults.RowGet | faults.List, Every: 1}}})
	for range 2 {
		for _, o := range operations {
			_ = o.run(t.Context(), t, s) // some fail; all are counted
		}
	}
	want := map[faults.Op]uint64{
		faults.Put: 2, faults.Get: 2, faults.List: 2, faults.Delete: 2, faults.RowCreate: 2,
		faults.RowGet: 2, faults.RowSwap: 2, faults.RowDelete: 2, faults.RowQuery: 4,
	}
	if got := s.i.Ops(); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if n := s.i.Injected(); n != 4 {
		t.Errorf("counted %d faults, want 4", n)
	}
}

// A query whose reply is cut off has yielded rows already: a reader that
// ignores the error at the end takes them for all there is.
func TestErrorAfterRows(t *testing.T) {
	t.Parallel()
	s := newSetup(t, faults.Plan{Rules: []faults.Rule{{Kind: faults.ErrAfter}}})
	rows, failed := 0, 0
	for _, err := range s.rows.Scan(t.Context(), meta.Counters) {
		if err != nil {
			failed++
		} else {
			rows++
		}
	}
	if rows != 1 || failed != 1 {
		t.Errorf("got %d rows and %d errors, want one of each", rows, failed)
	}
}

// latencies measures n Puts, with Gets in between if mixed.
func latencies(t *testing.T, plan faults.Plan, n int, mixed bool) []time.Duration {
	t.Helper()
	var all []time.Duration
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		s := newSetup(t, plan)
		for range n {
			start := time.Now()
			if err := s.objects.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			all = append(all, time.Since(start))
			if mixed {
				failing(t, s, 1)
			}
		}
	})
	return all
}

func TestLatencyDistribution(t *testing.T) {
	t.Parallel()
	const n = 20_000
	plan := faults.Plan{Seed: 7, Put: faults.Latency{P50: 60 * time.Millisecond, P99: 200 * time.Millisecond}}
	all := latencies(t, plan, n, false)
	slices.Sort(all)
	for _, c := range []struct {
		rank      int
		low, high time.Duration
	}{
		{n / 2, 58 * time.Millisecond, 62 * time.Millisecond},
		{n * 99 / 100, 190 * time.Millisecond, 210 * time.Millisecond},
		{n / 100, 17 * time.Millisecond, 19 * time.Millisecond}, // 60 * 60 / 200
	} {
		if got := all[c.rank]; got < c.low || got > c.high {
			t.Errorf("latency %d of %d is %v, want %v to %v", c.rank, n, got, c.low, c.high)
		}
	}
}

// A run that failed can be run again from its seed, even when other operations
// come in between; another seed is another run.
func TestLatencyIsRepeatable(t *testing.T) {
	t.Parallel()
	plan := faults.Plan{Seed: 7, Put: faults.Latency{P50: 60 * time.Millisecond, P99: 200 * time.Millisecond}}
	first := latencies(t, plan, 100, false)
	if !slices.Equal(first, latencies(t, plan, 100, true)) {
		t.Error("one seed gave two series of latencies")
	}
	plan.Seed = 8
	same := 0
	for n, l := range latencies(t, plan, 100, false) {
		if l == first[n] {
			same++
		}
	}
	if same > 5 {
		t.Errorf("two seeds agree in %d latencies of 100", same)
	}
}

// Each operation has the latency that the plan has for it.
func TestLatencyOf(t *testing.T) {
	t.Parallel()
	const put, get, commit, read = 1 * time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second
	want := map[faults.Op]time.Duration{
		faults.Put: put, faults.Delete: put, faults.Get: get, faults.List: get,
		faults.RowCreate: commit, faults.RowSwap: commit, faults.RowDelete: commit,
		faults.RowGet: read, faults.RowQuery: read,
	}
	for _, o := range operations {
		synctest.Test(t, func(t *testing.T) {
			s := newSetup(t, faults.Plan{
				Put: faults.Latency{P50: put}, Get: faults.Latency{P50: get},
				Commit: faults.Latency{P50: commit}, Read: faults.Latency{P50: read},
			})
			start := time.Now()
			if err := o.run(t.Context(), t, s); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != want[o.op] {
				t.Errorf("%s took %v, want %v", o.op, took, want[o.op])
			}
		})
	}
}

// A plan without faults costs a benchmark next to nothing.
func TestNothingAllocates(t *testing.T) {
	s := newSetup(t, faults.Plan{})
	body := objstoretest.Body([]byte("x"))
	bare := testing.AllocsPerRun(100, func() { _ = s.inside.Put(t.Context(), "old", body) })
	wrapped := testing.AllocsPerRun(100, func() { _ = s.objects.Put(t.Context(), "old", body) })
	if wrapped > bare+6 {
		t.Errorf("%v allocations, and %v without the injector", wrapped, bare)
	}
}
