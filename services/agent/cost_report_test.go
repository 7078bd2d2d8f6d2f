package agent

import (
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/cost"
	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// What a month costs, us-east-1 list prices as of 2025, for a GB of 2^30 bytes.
const (
	s3Month     = 0.023
	dynamoMonth = 0.25
	// itemOverhead is what DynamoDB bills for each item beside its size.
	itemOverhead = 100
)

// stored is what stands in the stores, in bytes.
type stored struct {
	payload    int64 // of batches that were merged
	large      int64 // objects of compaction
	small      int64 // segments, and the states
	index      int64 // rows of the index and of merges, of which none goes without retention
	journal    int64 // rows
	partitions int64 // rows
}

func (b *bed) standing() stored {
	b.Helper()
	var s stored
	for info, err := range b.tally.objects.List(b.Context(), "") {
		if err != nil {
			b.Fatal(err)
		}
		if strings.HasPrefix(info.Key, compaction.Folder) {
			s.large += info.Size
		} else {
			s.small += info.Size
		}
	}
	for row, err := range meta.Scan[*meta.Partition](b.Context(), b.tally.rows) {
		if err != nil {
			b.Fatal(err)
		}
		size, err := dynamo.ItemSize(row)
		if err != nil {
			b.Fatal(err)
		}
		s.payload += int64(row.Checkpoint.Bytes)
		s.partitions += int64(size) + itemOverhead
	}
	t := b.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, kind := range []meta.Kind{meta.Index, meta.Merges} {
		s.index += t.sizes[kind] + itemOverhead*int64(t.stand[kind])
	}
	// As large, on average, as those that went.
	if rows := int64(t.made[meta.Journal].RowWrites); rows > 0 {
		s.journal = int64(t.stand[meta.Journal]) * (t.sizes[meta.Journal]/rows + itemOverhead)
	}
	return s
}

// kept is what a run found.
type kept struct {
	spent
	behind int64  // bytes of batches that were not merged as the load ended
	during stored // what stood then
	stored        // once all was merged that was due
}

const gib = 1 << 30

// perGiB is how many of something there are for each GiB that was written, and
// perMerged for each that was merged: in time one is as much as the other.
func (k *kept) perGiB(n float64) float64    { return n * gib / float64(k.bytes) }
func (k *kept) perMerged(n float64) float64 { return n * gib / float64(k.merged) }

// bill is what requests cost for each GiB.
type bill struct{ flushes, reading, merging, removing, looking float64 }

func (k *kept) bill() bill {
	price := cost.Standard.Total
	return bill{
		flushes: k.perGiB(price(k.flushes)), reading: k.perMerged(price(k.reading)), merging: k.perMerged(price(k.merging)),
		removing: k.perGiB(price(k.removing)), looking: k.perGiB(price(k.looking)),
	}
}

// month is what each GiB that was merged costs in a month, in objects and rows.
func (k *kept) month() (objects, rows float64) {
	payload := float64(k.payload)
	return s3Month * float64(k.large) / payload, dynamoMonth * float64(k.index) / payload
}

// overhead is how much larger merged objects are than the batches in them.
func (k *kept) overhead() float64 { return float64(k.large) / float64(k.payload) }

// sweeps is how often a small segment is read.
func (k *kept) sweeps() float64 {
	return k.perMerged(float64(k.reading.Gets)) / k.perGiB(float64(k.segments))
}

func (k *kept) report(t *testing.T) {
	t.Helper()
	objects, rows := k.month()
	c := k.bill()
	t.Logf("for each GiB that was written, of %.1f:\n"+
		"| load, MiB/s | segments | flushes, $ | GETs | of each segment | merged objects | PUTs | write units | removing: write units | read units | LISTs | background, $ |\n"+
		"|---|---|---|---|---|---|---|---|---|---|---|---|\n"+
		"| %.3g | %.0f | %.5f | %.0f | %.2f | %.1f | %.1f | %.0f | %.0f | %.1f | %.2f | %.5f |\n"+
		"of the last: GETs %.5f, merging %.5f, removing %.5f, looking %.5f; %.2f GiB were not merged yet", float64(k.bytes)/gib,
		float64(*costRate)/(1<<20), k.perGiB(float64(k.segments)), c.flushes, k.perMerged(float64(k.reading.Gets)), k.sweeps(),
		k.perMerged(float64(k.objects)), k.perMerged(float64(k.merging.Puts)), k.perMerged(k.merging.WriteUnits), k.perGiB(k.removing.WriteUnits),
		k.perGiB(k.looking.ReadUnits), k.perGiB(float64(k.looking.Lists)), c.reading+c.merging+c.removing+c.looking,
		c.reading, c.merging, c.removing, c.looking, float64(k.behind)/gib)
	t.Logf("for each GiB that is kept, of %.1f:\n"+
		"| load, MiB/s | merged objects, over batches | KiB of rows | $ a month: objects | rows | small segments, GiB in all | journal rows, MiB in all | partition rows, KiB in all |\n"+
		"|---|---|---|---|---|---|---|---|\n"+
		"| %.3g | %.4f | %.1f | %.5f | %.6f | %.2f | %.2f | %.0f |", float64(k.payload)/gib,
		float64(*costRate)/(1<<20), k.overhead(), float64(k.index)/float64(k.payload)*(1<<20), objects, rows,
		float64(k.during.small)/gib, float64(k.during.journal)/(1<<20), float64(k.partitions)/(1<<10))
}

// check holds what was found against what the settings promise.
func (k *kept) check(t *testing.T, cfg *Config) {
	t.Helper()
	// Merging begins when 16 objects wait, and hurries when as much again does. Until
	// it is done with a round, as much may come.
	if most := 3 * 16 * cfg.Compaction.Bytes; k.behind > most {
		t.Errorf("%d bytes wait to be merged, want %d at most", k.behind, most)
	}
	// As many objects go through memory at a time as fit: each time around, every
	// small segment is read once, where all that is wanted of it lies together.
	// Objects that are not quite full, and what comes while others are merged, make
	// that up to a half more.
	most := 16 * float64(cfg.Compaction.Bytes) / float64(cfg.Compaction.MemoryBytes) * 3 / 2
	if k.sweeps() > most || k.sweeps() < 1 {
		t.Errorf("each small segment was read %.1f times, want 1 to %.1f", k.sweeps(), most)
	}
	// A batch of 1 KiB takes some 10 bytes of a footer.
	if k.overhead() > 1.02 || k.overhead() < 1 {
		t.Errorf("merged objects are %.4f times as large as what is in them, want 1 to 1.02", k.overhead())
	}
	// To read a small segment each time around, and to remove its row for the units
	// that it took, is less than to write it: a PUT is as much as 12.5 GETs.
	c := k.bill()
	if each := c.reading + c.removing; each > c.flushes {
		t.Errorf("to read and remove the small segments of a GiB costs $%.5f of requests, and to write them $%.5f", each, c.flushes)
	}
	// Rows of the journal are read twice, and to read 4 KB costs a fifth of what it
	// costs to write 1 KB. The rest is so much for each look; a short run has many.
	if c.looking > c.flushes/5 {
		t.Errorf("to look for what can go costs $%.5f of requests for each GiB, and flushes $%.5f", c.looking, c.flushes)
	}
	// What merges write depends on their number, not on the segments': two rows
	// for each partition and 16 objects, for each GiB with the default settings.
	// That is a fourth of the 256 segments, full ones, that a GiB takes at least.
	share := float64(cfg.Compaction.Bytes) / float64(Config{}.WithDefaults().Compaction.Bytes)
	if merging := share * c.merging; merging > c.flushes/3 {
		t.Errorf("to write what is merged costs $%.5f of requests for each GiB, and flushes $%.5f", merging, c.flushes)
	}
	if k.removing.WriteUnits < k.flushes.WriteUnits*3/4 {
		t.Errorf("journal rows of %.0f units were removed, and of %.0f made", k.removing.WriteUnits, k.flushes.WriteUnits)
	}
	if objects, rows := k.month(); share*rows > objects/100 {
		t.Errorf("the rows of a GiB cost $%.5f a month, and its objects $%.5f", share*rows, objects)
	}
}
