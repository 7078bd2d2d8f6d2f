package bench

import (
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/histogram"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/rawtcp"
	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// Each figure is worked out by hand: a share of a wrong unit or of a wrong
// process would look plausible.
func TestSummarize(t *testing.T) {
	o := Options{RecordSize: 1 << 20 / 100, Batch: 400}
	start := time.Now()
	before := reading{at: start, acked: 1000, clientCPU: time.Second, allocs: 50, agent: &streamhousev1.GetStatsResponse{
		CpuSeconds: 10, HeapAllocations: 7, SegmentsCommitted: 3,
	}}
	after := reading{at: start.Add(2 * time.Second), acked: 2_001_000, clientCPU: 3 * time.Second, allocs: 1_000_050, agent: &streamhousev1.GetStatsResponse{
		CpuSeconds: 11, HeapAllocations: 200_007, SegmentsCommitted: 43, PeakResidentBytes: 64 << 20,
		PutLatency:    &streamhousev1.LatencySummary{P50Ms: 60, P99Ms: 200},
		CommitLatency: &streamhousev1.LatencySummary{P50Ms: 4, P99Ms: 10},
	}}
	var latencies histogram.Histogram
	latencies.Record(5 * time.Millisecond)
	got, err := o.summarize(before, after, &latencies, rawtcp.Result{FramesPerSecond: 4000, CPUPerFrame: 250 * time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]float64{
		"records/s":   {got.RecordsPerSecond, 1_000_000},
		"MiB/s":       {got.MiBPerSecond, 1_000_000 * float64(o.RecordSize) / (1 << 20)},
		"ack":         {got.AckP50Ms, 5},
		"client CPU":  {got.ClientCPUSecondsPerMillion, 1},
		"agent CPU":   {got.AgentCPUSecondsPerMillion, 0.5},
		"CPU":         {got.CPUSecondsPerMillion, 1.5},
		"allocations": {got.ClientAllocsPerRecord, 0.5},
		"of agent":    {got.AgentAllocsPerRecord, 0.1},
		"RSS":         {got.AgentRSSMiB, 64},
		"raw rate":    {got.RawTCPRecordsPerSecond, 1_600_000},
		"raw CPU":     {got.RawTCPCPUSecondsPerMillion, 0.625},
		"PUT":         {got.PutP99Ms, 200},
		"commit":      {got.CommitP50Ms, 4},
		"segments":    {got.SegmentsPerSecond, 20},
	} {
		if math.Abs(pair[0]-pair[1]) > pair[1]/50 {
			t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
		}
	}
	if _, err := o.summarize(before, before, &latencies, rawtcp.Result{}); err == nil {
		t.Error("no record acknowledged must be an error, not a division by zero")
	}
}

// Records that were refused only because the load ended are no failures; any
// other one spoils the run.
func TestCallbacksCount(t *testing.T) {
	s := &sender{}
	for range 130 {
		s.resolved(producer.Ack{}, nil)
	}
	if got := s.acked.Load(); got != 128 {
		t.Errorf("visible count is %d, want whole steps of %d below 130", got, publishEvery)
	}
	s.resolved(producer.Ack{}, t.Context().Err())
	if s.failed != 0 {
		t.Errorf("%d failures", s.failed)
	}
	s.resolved(producer.Ack{}, producer.ErrDeliveryTimeout)
	if s.failed != 1 || s.firstErr == nil || s.count != 131 {
		t.Errorf("%d failures, count %d", s.failed, s.count)
	}
}

// The benchmark's own cost is charged to the client.
func TestCallbacksAllocateNothing(t *testing.T) {
	s := &sender{free: make(chan *probe, 4), latencies: &histogram.Histogram{}}
	s.measuring = newTrue()
	plain, _ := s.resolved, s.probe() // the first probe is made
	if n := testing.AllocsPerRun(100, func() {
		plain(producer.Ack{}, nil)
		s.probe()(producer.Ack{}, nil)
	}); n > 0 {
		t.Errorf("%v allocations for a record and a probe", n)
	}
	if s.latencies.Count() == 0 {
		t.Error("no latency was recorded")
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(&Options{Rate: 10_000, Batch: 100, Producers: 2})
		start := time.Now()
		for range 5 {
			p.wait(t.Context())
		}
		if got := time.Since(start); got != 100*time.Millisecond {
			t.Errorf("5 batches of 100 records took %v for one of two producers at 10,000 records/s", got)
		}
		time.Sleep(time.Second) // fell behind
		before := time.Now()
		for range 20 {
			p.wait(t.Context())
		}
		if got := time.Since(before); got != 0 {
			t.Errorf("catching up took %v", got)
		}
	})
}

func TestValidate(t *testing.T) {
	good := Options{
		RecordSize: 100, Batch: 1000, Partitions: 16, InFlight: 16, Producers: 1,
		Duration: time.Second, Store: Memory,
	}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"--record-size": func(o *Options) { o.RecordSize = 0 },
		"--batch":       func(o *Options) { o.Batch = 0 },
		"lower --batch": func(o *Options) { o.Batch = 150_000 },
		"--partitions":  func(o *Options) { o.Partitions = 10_001 },
		"--in-flight":   func(o *Options) { o.InFlight = -1 },
		"lower --in-":   func(o *Options) { o.Partitions, o.InFlight = 10_000, 128 },
		"--producers":   func(o *Options) { o.Producers = 0 },
		"--rate":        func(o *Options) { o.Rate = -1 },
		"--flush-rate":  func(o *Options) { o.FlushRate = -1 },
		"--duration":    func(o *Options) { o.Duration = 0 },
		"--warmup":      func(o *Options) { o.Warmup = -1 },
		"--store":       func(o *Options) { o.Store = "tape" },
		"--dir":         func(o *Options) { o.Dir = "x" },
		"--bucket":      func(o *Options) { o.Store = AWS },
		"--store aws":   func(o *Options) { o.AWS.Bucket = "b" },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func newTrue() *atomic.Bool {
	var b atomic.Bool
	b.Store(true)
	return &b
}

// The default must fill an agent at one partition, and not drown it at many.
func TestDefaultInFlight(t *testing.T) {
	for _, tt := range []struct{ partitions, size, batch, want int }{
		{1, 100, 1000, 128}, {16, 100, 1000, 34}, {256, 100, 1000, 2}, {16, 1024, 1000, 4}, {10_000, 1024, 1000, 1},
	} {
		o := Options{Partitions: tt.partitions, RecordSize: tt.size, Batch: tt.batch}.WithDefaults()
		if o.InFlight != tt.want {
			t.Errorf("%+v: %d in flight", tt, o.InFlight)
		}
	}
	if o := (Options{InFlight: 16, Partitions: 1}).WithDefaults(); o.InFlight != 16 {
		t.Errorf("what was set became %d", o.InFlight)
	}
}
