package agent

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// sample is what there is at one moment.
type sample struct {
	at       time.Duration
	journal  int // rows
	segments int // objects of sessions: segments, states, second copies
	merged   int // objects of compaction
	index    int // rows
	merges   int // rows that note a merge
	ranges   int // of the index in memory
	stored   int64
	heap     int64 // of the process, without the store's objects; 0: not measured
}

// day is what was noted in the course of it.
type day struct {
	began   time.Time
	samples []sample
}

// heapEvery keeps the measuring of the heap, which collects garbage, from being
// most of the work.
const heapEvery = 10

const heapColumn = "MiB of heap"

func (d *day) note(b *bed, a *bedded, timing dayTiming) {
	b.Helper()
	if d.samples == nil {
		d.began = time.Now().Add(-timing.sample)
	}
	s := sample{
		at: time.Since(d.began), journal: b.tally.standing(meta.Journal), index: b.tally.standing(meta.Index), merges: b.tally.standing(meta.Merges),
	}
	for info, err := range b.tally.objects.List(b.Context(), "") {
		if err != nil {
			b.Fatal(err)
		}
		s.stored += info.Size
		if strings.HasPrefix(info.Key, compaction.Folder) {
			s.merged++
		} else {
			s.segments++
		}
	}
	for _, t := range a.host().Pipeline.Tenures() {
		s.ranges += len(t.Index.Tail().Ranges)
	}
	if len(d.samples)%heapEvery == heapEvery-1 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		s.heap = int64(m.HeapAlloc) - s.stored
	}
	d.samples = append(d.samples, s)
}

// columns are what has to stay bounded, and by how much.
var columns = []struct {
	name string
	of   func(s *sample) int64
	most func(d dayTiming) int64
}{
	// Ten flushes a second, each a row.
	{"journal rows", func(s *sample) int64 { return int64(s.journal) }, func(d dayTiming) int64 {
		return int64(d.kept()/dayFlush)*21/20 + 100
	}},
	// Each an object, one in twenty two; and one of states with every merge.
	{"sessions' objects", func(s *sample) int64 { return int64(s.segments) }, func(d dayTiming) int64 {
		return int64(d.kept()/dayFlush)*22/20 + 35*int64(d.interval/dayFlush)/20 + 100
	}},
	// A merge every half of age at most, and what retention waits for.
	{"merged objects", func(s *sample) int64 { return int64(s.merged) }, func(d dayTiming) int64 {
		return 2*int64((d.retention+d.kept())/d.age) + 10
	}},
	{"index rows", func(s *sample) int64 { return int64(s.index) }, func(d dayTiming) int64 {
		return dayPartitions * (2*int64((d.retention+d.kept())/d.age) + 2)
	}},
	{"merge rows", func(s *sample) int64 { return int64(s.merges) }, func(d dayTiming) int64 {
		return 2*int64((d.retention+d.kept())/d.age) + 10
	}},
	// A record of each partition a second.
	{"index ranges in memory", func(s *sample) int64 { return int64(s.ranges) }, func(d dayTiming) int64 {
		return int64(2*d.age/time.Second) * dayPartitions * 21 / 20
	}},
	{heapColumn, func(s *sample) int64 { return s.heap >> 20 }, func(dayTiming) int64 { return 256 }},
}

// check holds every sample after the beginning against the bounds, and the end of
// the day against its middle.
func (d *day) check(t *testing.T, timing dayTiming) {
	t.Helper()
	t.Logf("\n%s", d.table(timing))
	for _, c := range columns {
		var early, late int64
		for i := range d.samples {
			s := &d.samples[i]
			v := c.of(s)
			if most := c.most(timing); s.at > timing.warm && v > most {
				t.Errorf("%d %s after %s, want %d at most", v, c.name, s.at, most)
				break
			}
			switch end := d.samples[len(d.samples)-1].at; {
			case s.at > timing.warm+(end-timing.warm)/2:
				late = max(late, v)
			case s.at > timing.warm:
				early = max(early, v)
			}
		}
		if late > early+early/10+8 {
			t.Errorf("%d %s in the second half, and %d in the first: they grow", late, c.name, early)
		}
	}
}

// table shows the largest of every hour, or of every tenth of a shorter day.
func (d *day) table(timing dayTiming) string {
	step := time.Hour
	if *dayLength < 2*time.Hour {
		step = *dayLength / 10
	}
	var b strings.Builder
	b.WriteString("| until |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	most := make([]int64, len(columns))
	next := step
	for i := range d.samples {
		s := &d.samples[i]
		for j, c := range columns {
			most[j] = max(most[j], c.of(s))
		}
		if s.at >= next || i == len(d.samples)-1 {
			fmt.Fprintf(&b, "| %s |", s.at)
			for j := range most {
				fmt.Fprintf(&b, " %d |", most[j])
			}
			b.WriteString("\n")
			clear(most)
			next += step
		}
	}
	b.WriteString("| bound |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %d |", c.most(timing))
	}
	return b.String() + "\n"
}
