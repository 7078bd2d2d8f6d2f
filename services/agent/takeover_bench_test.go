package agent

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/bolt"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/files"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// behind is the most that a session leaves to a takeover after a day, or any other
// time, of ten flushes a second: TestDay has the journal bounded by twice the
// compaction's age, 20 minutes.
const behind = 12_000

// BenchmarkTakeover measures, on the embedded store with its syncs, how long it
// takes until all of 256 partitions are written to again after a crash of their
// owner, with the default lease of 10 s. over-lease-s is what it took beyond it.
func BenchmarkTakeover(b *testing.B) {
	var over time.Duration
	for range b.N {
		b.StopTimer()
		over += takeoverFromFiles(b) - dayLease
		b.StartTimer()
	}
	b.ReportMetric(over.Seconds()/float64(b.N), "over-lease-s")
}

func takeoverFromFiles(b *testing.B) time.Duration {
	b.Helper()
	dir := b.TempDir()
	objects, err := files.Open(filepath.Join(dir, "objects"))
	if err != nil {
		b.Fatal(err)
	}
	rows, err := bolt.Open(filepath.Join(dir, rowsFile))
	if err != nil {
		b.Fatal(err)
	}
	bed := newBedOn(b, newTally(stayingObjects{objects}, stayingRows{rows}), dayPartitions, meta.Topic{})
	bed.delays = faults.Plan{}
	cfg := Config{
		Session:    SessionConfig{Heartbeat: 2 * time.Second, Lease: dayLease},
		Flush:      FlushConfig{Bytes: 1 << 20, MaxPerSecond: NoCeiling},
		Compaction: CompactionConfig{Age: time.Hour},
	}
	first := bed.start(cfg)
	l := newLoad(bed)
	if err := first.host().Await(b.Context(), bed.topic); err != nil {
		b.Fatal(err)
	}
	for bed.tally.standing(meta.Journal) < behind {
		if l.inFlight() < dayPartitions {
			l.some(first.host())
		}
		time.Sleep(time.Millisecond) // so that a flush does not take more of them
	}
	l.crash(first)
	filled := bed.tally.gets()
	b.StartTimer()
	crashed := time.Now()
	second := bed.start(cfg)
	l.resume(second.host())
	took := time.Since(crashed)
	b.StopTimer()
	b.Logf("after a crash with %d rows of the journal behind it, all %d partitions were written to within %s; %d objects were read",
		bed.tally.standing(meta.Journal), dayPartitions, took.Round(time.Millisecond), bed.tally.gets()-filled)
	first.end()
	second.end()
	bed.verify()
	if failed := l.failed.Load(); failed > 0 {
		b.Errorf("%d batches failed: %v", failed, l.reason.Load())
	}
	if err := rows.Close(); err != nil {
		b.Fatal(err)
	}
	if err := objects.Close(); err != nil {
		b.Fatal(err)
	}
	return took
}

// stayingObjects and stayingRows outlive the agents that use them.
type stayingObjects struct{ objstore.Store }

func (stayingObjects) Close() error { return nil }

type stayingRows struct{ meta.Store }

func (stayingRows) Close() error { return nil }
