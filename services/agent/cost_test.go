package agent

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/cost"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

var (
	costRate = flag.Int64("cost-rate", 5<<19, "`bytes` a second that TestCostOfKeeping sends")
	costTime = flag.Duration("cost-time", 50*time.Second, "virtual time that TestCostOfKeeping counts in, once all is under way")
)

// keepingConfig has the default settings. In a short run a merge, and what has to
// pass before something is removed, are as much smaller as there is less time.
func keepingConfig(length time.Duration) Config {
	cfg := Config{}.WithDefaults()
	if length < 10*time.Minute {
		cfg.Compaction.Bytes, cfg.Compaction.MemoryBytes = 1<<20, 2<<20
		cfg.Cleanup = CleanupConfig{Interval: 2 * time.Second, Grace: 5 * time.Second}
	}
	return cfg
}

// fullSegment is FlushConfig.Bytes by default.
const fullSegment = 4 << 20

// pauseOf is the time from one flush to the next: a tenth of a second while less
// than a segment comes in it, and then as long as one takes to fill.
func pauseOf(rate int64) time.Duration {
	return min(dayFlush, time.Duration(float64(fullSegment)/float64(rate)*float64(time.Second)))
}

// What it costs to keep a log small: to merge, and to remove what was merged,
// beside what flushes cost; and what then stands in the stores. Nothing expires
// and nobody reads.
func TestCostOfKeeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTally(newHollow(), memory.NewRows())
		store.priced = true
		b := newBedOn(t, store, dayPartitions, meta.Topic{})
		cfg := keepingConfig(*costTime)
		a := b.start(cfg)
		l := newLoad(b)
		// A batch's header and a record's numbers take the rest, and so 256 of
		// the largest fill a segment and never leave one too many.
		each := int64(pauseOf(*costRate).Seconds() * float64(*costRate) / dayPartitions)
		l.value = make([]byte, max(8, each-batch.HeaderSize-8))
		if err := a.host().Await(t.Context(), b.topic); err != nil {
			t.Fatal(err)
		}
		// Of the first segments nothing goes until they are merged and Grace is over.
		l.full(a.host(), max(*costTime/2, 2*cfg.Cleanup.Grace))
		before := b.spent(l)
		l.full(a.host(), *costTime)
		after := b.spent(l)
		k := kept{spent: after.minus(before), behind: after.bytes - after.merged, during: b.standing()}
		l.settle(b)
		k.stored = b.standing()
		k.report(t)
		k.check(t, &cfg)
		a.end()
		if failed := l.failed.Load(); failed > 0 {
			t.Errorf("%d batches failed: %v", failed, l.reason.Load())
		}
	})
}

// full sends a batch of every partition with each flush, for a time.
func (l *dayLoad) full(h *host.Host, d time.Duration) {
	pause := pauseOf(*costRate)
	for began := time.Now(); time.Since(began) < d; time.Sleep(pause) {
		for p := range l.sent {
			if err := l.send(h, p); err != nil {
				l.to.Answer(uint64(p), 0, err)
			}
		}
	}
}

// settle waits until the merge that is under way is done: it writes an object
// more often than every ten seconds.
func (l *dayLoad) settle(b *bed) {
	for before := -1; before != b.tally.standing(meta.Merges); time.Sleep(10 * time.Second) {
		before = b.tally.standing(meta.Merges)
	}
}

// spent is what was requested, by what for. What an agent without load requests
// as well, heartbeats and the reading of sessions and topics, is not in it.
type spent struct {
	bytes, merged     int64 // of batches that were sent, and that were merged
	segments, objects uint64
	// flushes write segments and rows of the journal; reading is what merges
	// read, and merging what they write; removing is that of journal rows, and
	// looking what clean-up reads and lists to know them.
	flushes, reading, merging, removing, looking cost.Requests
}

// spent tells what was requested up to now.
func (b *bed) spent(l *dayLoad) spent {
	b.Helper()
	t, merged := b.tally, b.standing().payload
	t.mu.Lock()
	defer t.mu.Unlock()
	objects, written := t.requests[ofObjects], t.made[meta.Journal]
	s := spent{
		bytes: l.bytes, merged: merged, segments: objects.Puts, objects: t.made[meta.Merges].RowWrites,
		flushes:  cost.Requests{Puts: objects.Puts, RowWrites: written.RowWrites, WriteUnits: written.WriteUnits},
		reading:  cost.Requests{Gets: objects.Gets},
		merging:  cost.Requests{Puts: t.requests[ofMerges].Puts},
		removing: cost.Requests{Deletes: objects.Deletes},
		looking:  cost.Requests{Lists: objects.Lists},
	}
	for _, kind := range []meta.Kind{meta.Journal, meta.Index, meta.Merges, meta.Partitions, meta.Tombstones} {
		r := t.requests[kind]
		s.looking.RowReads += r.RowReads
		s.looking.ReadUnits += r.ReadUnits
		into := &s.merging
		if kind == meta.Journal {
			into = &s.removing
			r = r.Minus(written)
		}
		into.RowWrites += r.RowWrites
		into.WriteUnits += r.WriteUnits
	}
	return s
}

func (s spent) minus(earlier spent) spent {
	return spent{
		bytes: s.bytes - earlier.bytes, merged: s.merged - earlier.merged,
		segments: s.segments - earlier.segments, objects: s.objects - earlier.objects,
		flushes: s.flushes.Minus(earlier.flushes), reading: s.reading.Minus(earlier.reading), merging: s.merging.Minus(earlier.merging),
		removing: s.removing.Minus(earlier.removing), looking: s.looking.Minus(earlier.looking),
	}
}
