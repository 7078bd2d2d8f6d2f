package stats

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// A quantile is never below the true one, apart from what microseconds cut
// off, and at most one part in 16 above it.
func TestQuantiles(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand) time.Duration{
		"uniform":   func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(int(time.Second))) },
		"wide":      func(r *rand.Rand) time.Duration { return time.Duration(r.Uint64() >> (1 + r.IntN(63))) },
		"small":     func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(40_000)) },
		"two kinds": func(r *rand.Rand) time.Duration { return time.Millisecond << (10 * r.IntN(2)) },
	} {
		r := rand.New(rand.NewPCG(1, 1))
		var l Latency
		var all []time.Duration
		for range 5000 {
			d := draw(r)
			l.Observe(d)
			all = append(all, d)
		}
		slices.Sort(all)
		for _, q := range []float64{0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1} {
			want := all[min(int(q*5000), 4999)]
			got := l.Quantile(q)
			if got < want-time.Microsecond || float64(got) > float64(want)*17/16+float64(time.Microsecond) {
				t.Errorf("%s: quantile %v is %v, and truly %v", name, q, got, want)
			}
		}
		if l.Max() != all[4999].Truncate(time.Microsecond) || l.Count() != 5000 {
			t.Errorf("%s: %d durations up to %v, want %v", name, l.Count(), l.Max(), all[4999])
		}
	}
}

func TestEmptyAndOdd(t *testing.T) {
	var l Latency
	if l.Quantile(0.5) != 0 || l.Max() != 0 || l.Count() != 0 {
		t.Error("nothing was observed, and it says something")
	}
	l.Observe(-time.Second) // a clock that was set back
	if l.Quantile(1) != 0 || l.Count() != 1 {
		t.Errorf("a negative duration counts as %v", l.Quantile(1))
	}
}

// Every value has a bucket of its own, in order, and its upper bound is the
// last value in it.
func TestBuckets(t *testing.T) {
	values := []uint64{1<<63 - 1}
	for v := range uint64(5000) {
		values = append(values, v)
	}
	for shift := range 63 {
		values = append(values, 1<<shift-1, 1<<shift, 1<<shift+1)
	}
	for _, v := range values {
		b := bucket(v)
		if b >= 64*subBuckets || upper(b) < v || bucket(upper(b)) != b || b > 0 && upper(b-1) >= v {
			t.Fatalf("%d is in bucket %d, which ends at %d", v, b, upper(b))
		}
	}
}

func TestObserveConcurrently(t *testing.T) {
	var l Latency
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 1000 {
				l.Observe(time.Duration(i*1000+n) * time.Microsecond)
				_ = l.Quantile(0.5)
			}
		})
	}
	group.Wait()
	if l.Count() != 8000 || l.Max() != 7999*time.Microsecond {
		t.Errorf("%d durations up to %v", l.Count(), l.Max())
	}
}

var sunk [][]byte

// The process's own figures move with what it does.
func TestProcess(t *testing.T) {
	before := ReadProcess()
	for range 1000 {
		b := make([]byte, 64<<10)
		for i := 0; i < len(b); i += 1 << 10 {
			b[i] = 1 // now the page is there
		}
		sunk = append(sunk, b)
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if ReadProcess().CPU > before.CPU {
			break
		}
	}
	after := ReadProcess()
	if after.CPU <= before.CPU || after.CPU > time.Hour {
		t.Errorf("CPU time went from %v to %v", before.CPU, after.CPU)
	}
	if n := after.Allocations - before.Allocations; n < 1000 || n > 10_000_000 {
		t.Errorf("%d allocations", n)
	}
	if runtime.GOOS == "linux" && (after.Resident < 32<<20 || after.PeakResident < after.Resident || after.Resident > 1<<40) {
		t.Errorf("%d bytes resident, %d at most", after.Resident, after.PeakResident)
	}
	sunk = nil
}

func TestKibibytes(t *testing.T) {
	status := []byte("Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t\nOther: 9\n")
	if n := kibibytes(status, "VmHWM:"); n != 12<<10 {
		t.Errorf("peak %d", n)
	}
	if n := kibibytes(status, "Missing:"); n != 0 {
		t.Errorf("a field that is not there: %d", n)
	}
	if n := kibibytes([]byte("VmRSS:\tmany kB"), "VmRSS:"); n != 0 {
		t.Errorf("no number: %d", n)
	}
}

// Every request to the stores is counted, also one that fails; only what
// succeeds is timed, and of rows only commits.
func TestStores(t *testing.T) {
	var s Stats
	injector := faults.New(faults.Plan{Rules: []faults.Rule{{Op: faults.Put | faults.RowCreate, First: 3, Kind: faults.ErrBefore}}})
	objects, rows := s.Objects(injector.Objects(memory.NewObjects())), s.Rows(injector.Rows(memory.NewRows()))
	ctx := t.Context()
	failed := 0
	for _, do := range []func() error{
		func() error { return objects.Put(ctx, "a", objstore.Body{}) },
		func() error { return rows.Create(ctx, &meta.Entry{Session: "s"}) },
		func() error { return objects.Put(ctx, "b", objstore.Body{}) }, // fails
		func() error { return rows.Create(ctx, &meta.Topic{Name: "t"}) },
		func() error { return rows.Swap(ctx, &meta.Topic{Name: "t", Header: meta.Header{Version: 1}}) },
		func() error { return rows.Delete(ctx, &meta.Topic{Name: "t", Header: meta.Header{Version: 2}}) },
		func() error { return rows.Get(ctx, &meta.Entry{Session: "s"}) },
		func() error { _, err := objects.Get(ctx, "a", 0, -1); return err },
		func() error { return objects.Delete(ctx, "a") },
	} {
		if err := do(); errors.Is(err, faults.ErrInjected) {
			failed++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for info, err := range objects.List(ctx, "") {
		t.Error("an object is left", info, err)
	}
	for _, err := range rows.Query(ctx, meta.Journal, "s", 0) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range rows.Scan(ctx, meta.Journal) {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]uint64{"put": 2, "get": 1, "list": 1, "delete": 1, "read": 3, "write": 4}
	got := s.Requests()
	for kind, n := range want {
		if got[kind] != n {
			t.Errorf("%d requests of kind %s, want %d", got[kind], kind, n)
		}
	}
	if len(got) != len(want) || failed != 1 || s.PutLatency.Count() != 1 || s.CommitLatency.Count() != 1 {
		t.Errorf("%v; %d failed; %d PUTs and %d commits were timed", got, failed, s.PutLatency.Count(), s.CommitLatency.Count())
	}
	s.Committed(10, 2, 300, 400)
	s.Committed(1, 1, 1, 1)
	if s.Records.Load() != 11 || s.Batches.Load() != 3 || s.Bytes.Load() != 301 || s.Segments.Load() != 2 || s.SegmentBytes.Load() != 401 {
		t.Error("what was committed is counted wrongly")
	}
}
