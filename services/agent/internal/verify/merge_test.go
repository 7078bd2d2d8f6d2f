package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// piecemeal is a run of a merged object: parts of one partition that follow each
// other. Each is a block.
type piecemeal struct {
	compaction uint64
	before     uint64 // bytes of the partition before it
	parts      []part
}

// Sizes of the batches that the parts of newStore hold.
var (
	p0 = []part{{partition: 0, batches: []int{2, 1}}, {partition: 0, base: 3, batches: []int{2, 3}}, {partition: 0, base: 8, batches: []int{1}}}
	p1 = []part{{partition: 1, batches: []int{4}}}

	merged0, merged1 = mergedOf(first, 0), mergedOf(second, 0)
)

func mergedOf(session string, number uint64) string {
	return fmt.Sprintf("merged/%s/%012d-x", session, number)
}

func sizeOf(parts ...part) (size uint64) {
	for _, p := range parts {
		for _, records := range p.batches {
			size += uint64(batchSize(records))
		}
	}
	return size
}

// newMerged is newStore after compaction, trimming and clean-up. Of partition 0,
// the first session merged offsets 0 to 3, and the second 3 to 9; of partition 1,
// the first merged 0 to 4.
func newMerged(t *testing.T) *store {
	t.Helper()
	s := newStore(t)
	s.merge(first, 0, piecemeal{compaction: 5, parts: p0[:1]}, piecemeal{compaction: 6, parts: p1})
	s.merge(second, 0, piecemeal{compaction: 7, before: sizeOf(p0[0]), parts: p0[1:]})
	s.put(second+"/checkpoint", s.object(second, 3, part{partition: 0, state: stateAt(9)}))
	edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) {
		p.FirstSeq, p.Tenures, p.State, p.StateEnd = 1, nil, second+"/checkpoint", 9
		p.Checkpoint = meta.Checkpoint{End: 9, Bytes: sizeOf(p0...), Compactions: []meta.Compaction{{ID: 5, End: 3}, {ID: 7, End: 9}}}
	})
	edit(s, &meta.Partition{Topic: 1, Partition: 1}, func(p *meta.Partition) {
		p.Tenures[0].FirstSeq = 2
		p.Checkpoint = meta.Checkpoint{End: 4, Bytes: sizeOf(p1...), Compactions: []meta.Compaction{{ID: 6, End: 4}}}
	})
	s.trim()
	return s
}

// trim removes what the checkpoints of newMerged cover.
func (s *store) trim() {
	s.remove(&meta.Entry{Session: first, Seq: 0})
	s.remove(&meta.Entry{Session: first, Seq: 1})
	s.drop(keyOf(first, 0))
	s.drop(keyOf(first, 1))
}

// merge writes a merged object, its row, and the index rows that name it.
func (s *store) merge(session string, number uint64, runs ...piecemeal) {
	s.Helper()
	b, err := segment.AppendHeader(nil, segment.Header{Session: session})
	if err != nil {
		s.Fatal(err)
	}
	key := mergedOf(session, number)
	f, rows, parts := segment.Footer{Number: number}, []*meta.Run(nil), []index.Part(nil)
	for _, r := range runs {
		row, at := &meta.Run{Base: r.parts[0].base, Object: key, At: uint64(len(b))}, len(b)
		section := segment.Section{Topic: 1, Partition: r.parts[0].partition}
		var blocks []index.Block
		for _, p := range r.parts {
			from := len(section.Batches)
			b = s.appendBatches(b, &section, p)
			blocks = append(blocks, blockOf(section.Batches[from:]))
		}
		records := uint64(0)
		row.MaxTimestamp = blocks[0].MaxTimestamp
		for _, block := range blocks {
			records += uint64(block.Records)
			row.MaxTimestamp = max(row.MaxTimestamp, block.MaxTimestamp)
		}
		row.Log, row.Last = meta.RunHash(1, section.Partition, r.compaction), row.Base+records-1
		row.Blocks, row.Total = index.AppendBlocks(nil, blocks), r.before+uint64(len(b)-at)
		rows, f.Sections = append(rows, row), append(f.Sections, section)
		parts = append(parts, index.Part{Topic: 1, Partition: section.Partition, Compaction: r.compaction, Base: row.Base, Records: records})
	}
	b = segment.AppendFooter(b, &f)
	s.create(&meta.Merge{Session: session, Number: number, Object: key, Parts: index.AppendParts(nil, parts)})
	s.put(key, b)
	for _, row := range rows {
		row.Size = int64(len(b))
		s.create(row)
	}
}

func blockOf(batches []segment.Batch) index.Block {
	block := index.Block{MaxTimestamp: batches[0].MaxTimestamp}
	for _, b := range batches {
		block.Records, block.Size = block.Records+b.Records, block.Size+b.Size
		block.MaxTimestamp = max(block.MaxTimestamp, b.MaxTimestamp)
	}
	return block
}

// reblock changes the blocks of an index row.
func (s *store) reblock(row *meta.Run, change func([]index.Block) []index.Block) {
	s.Helper()
	edit(s, row, func(r *meta.Run) {
		blocks, err := index.ParseBlocks(r.Blocks)
		if err != nil {
			s.Fatal(err)
		}
		r.Blocks = index.AppendBlocks(nil, change(blocks))
	})
}

// repart changes the parts of a merge.
func (s *store) repart(session string, change func([]index.Part) []index.Part) {
	s.Helper()
	s.repartOf(session, 0, change)
}

func (s *store) repartOf(session string, number uint64, change func([]index.Part) []index.Part) {
	s.Helper()
	edit(s, &meta.Merge{Session: session, Number: number}, func(m *meta.Merge) {
		parts, err := index.ParseParts(m.Parts)
		if err != nil {
			s.Fatal(err)
		}
		m.Parts = index.AppendParts(nil, change(parts))
	})
}

// run5, run6 and run7 are the index rows of newMerged.
func run5() *meta.Run { return &meta.Run{Log: meta.RunHash(1, 0, 5), Last: 2} }
func run6() *meta.Run { return &meta.Run{Log: meta.RunHash(1, 1, 6), Last: 3} }
func run7() *meta.Run { return &meta.Run{Log: meta.RunHash(1, 0, 7), Last: 8} }

// What was merged is the log that it was before.
func TestMerged(t *testing.T) {
	plain, compacted := newStore(t), newMerged(t)
	want, err := Run(t.Context(), plain.rows, plain.objects, Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects, looked := int64(0), func() int64 { return 0 }
	opts := Options{Started: func(n int64, done func() int64) { objects, looked = n, done }}
	got, err := Run(t.Context(), compacted.rows, compacted.objects, opts)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Partitions, want.Partitions) {
		t.Errorf("got  %+v\nwant %+v", got.Partitions, want.Partitions)
	}
	if got.IndexRows != 3 || got.Merged != 2 || got.Segments != 3 || got.Records != want.Records || got.Batches != want.Batches+1 || got.UnnamedCount != 0 {
		t.Errorf("counted %+v", got) // the batch of second's row 0 stands twice
	}
	if objects != 7 || looked() != 7 {
		t.Errorf("%d of %d objects were looked at, want all 7", looked(), objects)
	}
}

// What is not of the topic that is asked for is not read.
func TestMergedOfAnotherTopic(t *testing.T) {
	s := newMerged(t)
	s.create(&meta.Topic{Name: "other", ID: 3, Partitions: 1})
	s.drop(merged0)
	s.remove(run7())
	objects, looked := int64(0), func() int64 { return 0 }
	r, err := Run(t.Context(), s.rows, s.objects, Options{
		Topic: "other", Started: func(n int64, done func() int64) { objects, looked = n, done },
	})
	if err != nil || r.Merged != 0 || r.IndexRows != 0 || r.UnnamedCount != 0 || objects != 6 || looked() != 6 {
		t.Errorf("%d of %d objects, %+v, %v", looked(), objects, r, err)
	}
}

// Where few rows may wait, an object that partitions share is read in parts of
// rows, to the same result.
func TestMergedFewAtATime(t *testing.T) {
	s := newMerged(t)
	want, err := Run(t.Context(), s.rows, s.objects, Options{})
	if err != nil {
		t.Fatal(err)
	}
	counted := &countedObjects{Store: s.objects}
	v := newVerifier(s.rows, counted, Options{})
	v.maxExpected = 1
	if err := v.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := counted.gets[merged0]; n != 4 {
		t.Errorf("%d GETs of an object, want its footer twice, the header, and the batches once", n)
	}
	if got := v.report; got.Merged != want.Merged || got.Bytes != want.Bytes || got.Batches != want.Batches || v.done.Load() != 7 {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	for i, p := range v.sorted() {
		if p.summary() != want.Partitions[i] {
			t.Errorf("got  %+v\nwant %+v", p.summary(), want.Partitions[i])
		}
	}
}

// countedObjects counts GETs.
type countedObjects struct {
	objstore.Store
	mu   sync.Mutex
	gets map[string]int
}

func (c *countedObjects) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	c.mu.Lock()
	if c.gets == nil {
		c.gets = map[string]int{}
	}
	c.gets[key]++
	c.mu.Unlock()
	return c.Store.Get(ctx, key, offset, length)
}
