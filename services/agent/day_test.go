package agent

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

var (
	dayLength = flag.Duration("day", 20*time.Minute, "virtual time that TestDay lets pass")
	dayPlot   = flag.String("day-plot", "", "`file` for a plot of TestDay, as SVG")
)

const (
	dayPartitions = 256
	dayFlush      = 100 * time.Millisecond // from one flush to the next
	dayLease      = 10 * time.Second
)

// dayTiming is how fast old things go. What should stay bounded is bounded by
// these, whatever they are: a short day has short ones.
type dayTiming struct {
	age, interval, grace, retention, sample, warm time.Duration
}

func timingOf(length time.Duration) dayTiming {
	if length >= 2*time.Hour { // the defaults
		return dayTiming{10 * time.Minute, time.Minute, 5 * time.Minute, 30 * time.Minute, time.Minute, time.Hour}
	}
	return dayTiming{length / 20, length / 200, length / 40, length / 20, length / 200, length / 3}
}

// kept is how long a record's own segment and row stand at most: a merge begins
// when a record is as old as age, and is done before it is twice that.
func (d dayTiming) kept() time.Duration { return 2*d.age + d.grace + 2*d.interval }

// A day of ten flushes a second, over 256 partitions: what is in the store, apart
// from what retention keeps, and what is in memory does not grow, and whoever
// takes over after a crash reads no more than what was written of late.
func TestDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timing := timingOf(*dayLength)
		b := newBed(t, dayPartitions, meta.Topic{RetentionMillis: timing.retention.Milliseconds()})
		cfg := Config{
			Session:    SessionConfig{Heartbeat: 2 * time.Second, Lease: dayLease},
			Flush:      FlushConfig{Bytes: 1 << 20}, // so that idle buffers are not most of the memory
			Buffers:    BufferConfig{CacheBytes: 8 << 20},
			Compaction: CompactionConfig{Age: timing.age},
			Cleanup:    CleanupConfig{Interval: timing.interval, Grace: timing.grace},
		}
		first := b.start(cfg)
		l := newLoad(b)
		if err := first.host().Await(t.Context(), b.topic); err != nil {
			t.Fatal(err)
		}
		var day day
		for began, passed := time.Now(), time.Duration(0); passed < *dayLength; passed = time.Since(began) {
			l.run(first.host(), timing.sample)
			day.note(b, first, timing)
		}
		day.check(t, timing)
		if *dayPlot != "" {
			if err := os.WriteFile(filepath.Clean(*dayPlot), []byte(day.plot()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l.crash(first)
		takeover(t, b, l, cfg, timing)
		first.end()
		if failed := l.failed.Load(); failed > 0 {
			t.Errorf("%d batches failed: %v", failed, l.reason.Load())
		}
	})
}

// mostFooters are those from which a takeover knows producers' retries: 256
// segments of a partition at most, which are as many seconds here.
const mostFooters = 256*10 + dayPartitions

// takeover starts another agent where one has just crashed.
func takeover(t *testing.T, b *bed, l *dayLoad, cfg Config, timing dayTiming) {
	t.Helper()
	rows, gets, crashed := b.tally.given(meta.Journal), b.tally.gets(), time.Now()
	second := b.start(cfg)
	l.resume(second.host())
	took := time.Since(crashed)
	rows, gets = b.tally.given(meta.Journal)-rows, b.tally.gets()-gets
	t.Logf("after a crash all %d partitions were written to within %s of it; %d rows of the journal and %d objects were read",
		dayPartitions, took.Round(time.Millisecond), rows, gets)
	if took > dayLease+2*time.Second {
		t.Errorf("the takeover took %s, with a lease of %s", took, dayLease)
	}
	if most := int(2 * timing.age / dayFlush); rows > most {
		t.Errorf("the takeover read %d rows of the journal, more than the %d of twice the compaction's age", rows, most)
	}
	if gets > mostFooters {
		t.Errorf("the takeover read %d objects, want %d at most", gets, mostFooters)
	}
	l.run(second.host(), timing.sample)
	second.end()
	report := b.verify()
	for _, p := range report.Partitions {
		if want := l.acked[p.Partition].Load(); p.End != want {
			t.Errorf("partition %d ends at offset %d, and %d records were acknowledged", p.Partition, p.End, want)
		}
	}
}

// dayLoad is a producer for each partition, whose batches carry a record each. A few
// partitions take their turn in every flush.
type dayLoad struct {
	topic  uint32
	value  []byte // begins with a record's number
	bytes  int64  // of the batches that were sent
	sent   []uint64
	acked  []atomic.Uint64
	failed atomic.Uint64
	reason atomic.Value // why the first of them did
	to     *toAgent
	build  batch.Builder
	turn   int
}

// toAgent hears what became of what was sent to one agent.
type toAgent struct {
	*dayLoad
	crashed atomic.Bool // what it fails is sent again
}

func newLoad(b *bed) *dayLoad {
	l := &dayLoad{topic: b.topic.ID, value: make([]byte, 8), sent: make([]uint64, b.topic.Partitions), acked: make([]atomic.Uint64, b.topic.Partitions)}
	l.to = &toAgent{dayLoad: l}
	return l
}

// run sends for a time.
func (l *dayLoad) run(h *host.Host, d time.Duration) {
	for began := time.Now(); time.Since(began) < d; time.Sleep(dayFlush) {
		l.some(h)
	}
}

// some sends what one flush takes.
func (l *dayLoad) some(h *host.Host) {
	for range (len(l.sent) + 9) / 10 {
		l.turn = (l.turn + 1) % len(l.sent)
		if err := l.send(h, l.turn); err != nil {
			l.to.Answer(uint64(l.turn), 0, err)
		}
	}
}

// inFlight is how many batches are sent and not acknowledged.
func (l *dayLoad) inFlight() (n uint64) {
	for p := range l.sent {
		n += l.sent[p] - l.acked[p].Load()
	}
	return n
}

// send sends a partition's next batch; the same number is the same batch.
func (l *dayLoad) send(h *host.Host, p int) error {
	l.build.Reset()
	binary.BigEndian.PutUint64(l.value, l.sent[p])
	l.build.Append(&batch.Record{Value: l.value, Timestamp: 1})
	raw := l.build.Seal(uint64(p)+1, l.sent[p])
	header, err := batch.ParseHeader(raw)
	if err != nil {
		return err
	}
	err = h.Pipeline.Append(flush.ID{Topic: l.topic, Partition: uint32(p)}, &flush.Batch{Header: header, Parts: [][]byte{raw}}, l.to, uint64(p))
	if err == nil {
		l.sent[p]++
		l.bytes += int64(len(raw))
	}
	return err
}

// Answer implements flush.Answerer. A record's number is its offset.
func (l *toAgent) Answer(p, base uint64, err error) {
	if err == nil && l.acked[p].CompareAndSwap(base, base+1) || l.crashed.Load() {
		return
	}
	l.failed.Add(1)
	l.reason.CompareAndSwap(nil, fmt.Sprintf("partition %d at offset %d: %v", p, base, err))
}

// crash ends an agent while batches are on their way.
func (l *dayLoad) crash(a *bedded) {
	l.run(a.host(), time.Second+dayFlush/2)
	a.crash()
	l.to.crashed.Store(true)
	l.to = &toAgent{dayLoad: l}
	for p := range l.sent {
		l.sent[p] = l.acked[p].Load()
	}
}

// resume sends what was not acknowledged again, and returns when it is, and
// something of each partition.
func (l *dayLoad) resume(h *host.Host) {
	waiting := make([]int, len(l.sent))
	for p := range waiting {
		waiting[p] = p
	}
	before := make([]uint64, len(l.sent))
	for len(waiting) > 0 {
		rest := waiting[:0]
		for _, p := range waiting {
			if before[p] == 0 && l.send(h, p) == nil {
				before[p] = l.sent[p]
			}
			if before[p] == 0 || l.acked[p].Load() < before[p] {
				rest = append(rest, p)
			}
		}
		waiting = rest
		time.Sleep(10 * time.Millisecond)
	}
}
