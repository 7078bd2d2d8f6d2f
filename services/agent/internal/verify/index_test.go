package verify

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// Damage of the index and of what was merged is found, and its place is told.
func TestIndexDamage(t *testing.T) {
	row5, row6, row7 := "index row 1/0/0000000000000005 at 2", "index row 1/1/0000000000000006 at 3", "index row 1/0/0000000000000007 at 8"
	merge := "merge row " + first + "/0"
	second0 := 32 + int(sizeOf(p0[0])) // the second section of merged0
	for name, c := range map[string]struct {
		damage    func(s *store)
		row       string
		key       string
		at        int // a byte; -1 for any
		partition int
		offset    int
		words     string
	}{
		"a missing index row": {
			func(s *store) { s.remove(run7()) }, "", "", -1, 0, 3, "no index row of compaction 0000000000000007 holds",
		},
		"a missing first index row": {
			func(s *store) { s.remove(run5()) }, "", "", -1, 0, 0, "no index row of compaction 0000000000000005 holds",
		},
		"an index row behind its place": {
			func(s *store) {
				s.remove(run7())
				s.merge(second, 1, piecemeal{compaction: 7, before: sizeOf(p0[:2]...), parts: p0[2:]})
			}, "", "", -1, 0, 3, "no index row of compaction 0000000000000007 holds",
		},
		"rows that overlap": {
			func(s *store) {
				s.remove(run7())
				s.merge(second, 1, piecemeal{compaction: 7, before: sizeOf(p0[0]), parts: p0[1:2]})
				s.merge(second, 2, piecemeal{compaction: 7, before: sizeOf(p0[0]), parts: p0[1:]})
			}, row7, mergedOf(second, 2), -1, 0, 3, "begins at offset 3, where 8 is due",
		},
		"a row beyond its compaction's end": {
			func(s *store) {
				edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Checkpoint.Compactions[0].End = 2 })
			}, row5, merged0, -1, 0, 2, "reaches up to offset 2, and its compaction ends at 2",
		},
		"other records than the row says": {
			func(s *store) { s.reblock(run7(), func(b []index.Block) []index.Block { b[0].Records++; return b }) },
			row7, merged1, -1, 0, 3, "reaches from offset 3 to 8, and its blocks to 10",
		},
		"other records than the object has": {
			func(s *store) {
				s.merge(second, 1, piecemeal{compaction: 7, parts: p0[1:2]}, piecemeal{compaction: 9, parts: p1})
				s.remove(&meta.Run{Log: run7().Log, Last: 7})
				s.point(7, second, 1)
			},
			row7, mergedOf(second, 1), 32, 0, 3, "the row has 6 records, and the object 5",
		},
		"another place in the object": {
			func(s *store) { edit(s, run7(), func(r *meta.Run) { r.At-- }) },
			row7, merged1, 32, 0, 3, "from byte 32 on, and the row says 31",
		},
		"another size than the object has": {
			func(s *store) { edit(s, run7(), func(r *meta.Run) { r.Size++ }) },
			row7, merged1, -1, 0, 3, "bytes, and the row says",
		},
		"a block not at a batch's end": {
			func(s *store) {
				s.reblock(run7(), func(b []index.Block) []index.Block { b[0].Size--; b[1].Size++; return b })
			}, row7, merged1, 32, 0, 3, "does not end with one of them",
		},
		"a block with another's records": {
			func(s *store) {
				s.reblock(run7(), func(b []index.Block) []index.Block { b[0].Records--; b[1].Records++; return b })
			}, row7, merged1, 32, 0, 3, "block 0 of the row has 4 records, and its batches 5",
		},
		"a block with another timestamp": {
			func(s *store) {
				s.reblock(run7(), func(b []index.Block) []index.Block { b[0].MaxTimestamp--; return b })
			}, row7, merged1, 32, 0, 3, "block 0 of the row has the latest timestamp 102, and its batches 103",
		},
		"blocks that end early": {
			func(s *store) {
				s.reblock(run7(), func(b []index.Block) []index.Block { b[0].Records += b[1].Records; return b[:1] })
				edit(s, run7(), func(r *meta.Run) { r.Total, r.MaxTimestamp = sizeOf(p0[:2]...), 103 })
				edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Checkpoint.Bytes = sizeOf(p0[:2]...) })
			}, row7, merged1, -1, 0, 3, "block 0 of the row has 6 records",
		},
		"a row's timestamp": {
			func(s *store) { edit(s, run7(), func(r *meta.Run) { r.MaxTimestamp++ }) },
			row7, merged1, -1, 0, 3, "its latest timestamp is 109, and that of its blocks is 108",
		},
		"a row's total": {
			func(s *store) { edit(s, run7(), func(r *meta.Run) { r.Total++ }) },
			row7, merged1, -1, 0, 3, "bytes of batches up to its end, and there are",
		},
		"the first row's total": {
			func(s *store) { edit(s, run5(), func(r *meta.Run) { r.Total++ }) },
			row5, merged0, -1, 0, 0, "bytes of batches up to its end, and there are",
		},
		"the checkpoint's bytes": {
			func(s *store) { edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Checkpoint.Bytes++ }) },
			"", "", -1, 0, 9, "bytes of batches below offset 9, and its index",
		},
		"a row of an object that is no merge's": {
			func(s *store) { edit(s, run7(), func(r *meta.Run) { r.Object = keyOf(second, 0) }) },
			row7, keyOf(second, 0), -1, 0, 3, "not of a compaction",
		},
		"a missing merged object": {
			func(s *store) { s.drop(merged0) }, row5, merged0, -1, 0, 0, "the object is missing",
		},
		"a merged object cut off": {
			func(s *store) { s.rewrite(merged0, func(b []byte) []byte { return b[:70] }) },
			row5, merged0, 70, 0, 0, "has 70 bytes, and the row says",
		},
		"a merged object that grew": {
			func(s *store) { s.rewrite(merged0, func(b []byte) []byte { return append(b, 1) }) },
			row5, merged0, -1, 0, 0, "bytes, and the row says",
		},
		"a bit of a merged batch": {
			func(s *store) { s.rewrite(merged0, func(b []byte) []byte { b[second0+60] ^= 4; return b }) },
			row6, merged0, second0, 1, 0, "CRC",
		},
		"a bit of a later merged batch": {
			func(s *store) { s.rewrite(merged1, func(b []byte) []byte { b[32+batchSize(2)+60] ^= 4; return b }) },
			row7, merged1, 32 + batchSize(2), 0, 5, "CRC",
		},
		"a bit of a merged object's header": {
			func(s *store) { s.rewrite(merged0, func(b []byte) []byte { b[20] ^= 4; return b }) },
			row5, merged0, 0, 0, 0, "header",
		},
		"a bit of a merged object's footer": {
			func(s *store) { s.rewrite(merged0, func(b []byte) []byte { b[len(b)-20] ^= 4; return b }) },
			row5, merged0, second0 + int(sizeOf(p1...)), 0, 0, "CRC-32C of the footer",
		},
		"another batch in a batch's place": {
			func(s *store) {
				s.rewrite(merged0, func(b []byte) []byte {
					return append(s.appendBatches(b[:32:32], new(segment.Section), part{base: 1, batches: []int{2, 1}}), b[second0:]...)
				})
			}, row5, merged0, 32, 0, 0, "not the one in the footer",
		},
		"a merged object of another session": {
			func(s *store) {
				other := s.object(second, 0, p0[0], p1[0])
				s.rewrite(merged0, func([]byte) []byte { return other })
			}, row5, merged0, 0, 0, 0, "session " + second + " wrote it",
		},
		"a merged object of another number": {
			func(s *store) {
				other := s.object(first, 1, p0[0], p1[0])
				s.rewrite(merged0, func([]byte) []byte { return other })
			}, merge, merged0, -1, -1, -1, "footer has the number 1",
		},
		"producers' states in a merged object": {
			func(s *store) {
				with := p0[0]
				with.state = stateAt(0)
				s.rewrite(merged0, func([]byte) []byte { return s.object(first, 0, with, p1[0]) })
				for _, row := range []*meta.Run{run5(), run6()} {
					edit(s, row, func(r *meta.Run) { r.Size += int64(len(with.state)) })
				}
			}, row5, merged0, 32, 0, 0, "holds producers' states",
		},
		"an object without the partition": {
			func(s *store) { s.point(5, second, 0) },
			"merge row " + second + "/0", merged1, -1, 0, 0, "no part of the row is what index row 1/0/0000000000000005 at 2 says",
		},
		"a missing merge row": {
			func(s *store) { s.remove(&meta.Merge{Session: first}) },
			row5, merged0, -1, 0, 0, "no merge row " + first + "/0",
		},
		"a merge row without one of the parts": {
			func(s *store) { s.repart(first, func(p []index.Part) []index.Part { return p[:1] }) },
			merge, merged0, -1, -1, -1, "the row has 1 parts, and the object 2",
		},
		"a merge row with other records": {
			func(s *store) { s.repart(first, func(p []index.Part) []index.Part { p[1].Records++; return p }) },
			merge, merged0, second0, -1, -1, "part 1 of the row has 5 records",
		},
		"a merge row of another compaction": {
			func(s *store) { s.repart(first, func(p []index.Part) []index.Part { p[1].Compaction++; return p }) },
			merge, merged0, -1, 1, 0, "no part of the row is what index row 1/1/0000000000000006 at 3 says",
		},
		"a merge row with another offset": {
			func(s *store) { s.repart(first, func(p []index.Part) []index.Part { p[1].Base++; return p }) },
			merge, merged0, -1, 1, 0, "no part of the row is what index row 1/1/0000000000000006 at 3 says",
		},
		"a merge row of another object": {
			func(s *store) {
				edit(s, &meta.Merge{Session: first}, func(m *meta.Merge) { m.Object = mergedOf(first, 0) + "y" })
			}, merge, merged0, -1, -1, -1, "of another object",
		},
		"a merge row that cannot be read": {
			func(s *store) {
				edit(s, &meta.Merge{Session: first}, func(m *meta.Merge) { m.Parts = m.Parts[:5] })
			}, merge, merged0, -1, -1, -1, "corrupt index row",
		},
		"a merge that nothing names, with other parts": {
			func(s *store) {
				s.merge(second, 1, piecemeal{compaction: 9, parts: p1})
				s.repartOf(second, 1, func(p []index.Part) []index.Part { p[0].Partition = 0; return p })
			}, "merge row " + second + "/1", mergedOf(second, 1), 32, -1, -1, "4 records of partition 0 of topic 1, and the object 4 of partition 1",
		},
		"a merge of another session's object": {
			func(s *store) {
				s.create(&meta.Merge{Session: second, Number: 1, Object: mergedOf(first, 1), Parts: index.AppendParts(nil, nil)})
			}, "merge row " + second + "/1", mergedOf(first, 1), -1, -1, -1, "not of this merge",
		},
		"a merge whose parts are cut off, without an object": {
			func(s *store) {
				s.create(&meta.Merge{Session: second, Number: 1, Object: mergedOf(second, 1), Parts: []byte{3}})
			}, "merge row " + second + "/1", mergedOf(second, 1), -1, -1, -1, "corrupt",
		},
		"states that end below the checkpoint": {
			func(s *store) { edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.StateEnd = 8 }) },
			"", "", -1, 0, 8, "states go up to offset 8, and its checkpoint is at 9",
		},
		"a checkpoint without compactions": {
			func(s *store) {
				edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Checkpoint.Compactions = nil })
			}, "", "", -1, 0, 0, "its compactions end at offset 0, and its checkpoint is at 9",
		},
		"a checkpoint without its last compaction": {
			func(s *store) {
				edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.LogStart, p.Checkpoint.Compactions = 9, p.Checkpoint.Compactions[:1] })
			}, "", "", -1, 0, 3, "its compactions end at offset 3, and its checkpoint is at 9",
		},
		"compactions out of order": {
			func(s *store) {
				edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Checkpoint.Compactions[0].End = 9 })
			}, "", "", -1, 0, 9, "ends at offset 9, and the one before it at 9",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMerged(t)
			c.damage(s)
			_, err := Run(t.Context(), s.rows, s.objects, Options{})
			f, ok := errors.AsType[*FaultError](err)
			if !ok {
				t.Fatalf("got %v, want a fault", err)
			}
			got := fmt.Sprint(f.Row, " ", f.Key, " ", number(f.Partition), " ", number(f.Offset))
			want := fmt.Sprint(c.row, " ", c.key, " ", c.partition, " ", c.offset)
			if got != want || c.at >= 0 && number(f.Byte) != c.at || !strings.Contains(f.What, c.words) {
				t.Errorf("got  %v\n%s, byte %d\nwant %s, byte %d, with %q", f, got, number(f.Byte), want, c.at, c.words)
			}
		})
	}
}

// point makes the index row of a compaction name another object.
func (s *store) point(compaction uint64, session string, number uint64) {
	s.Helper()
	object, err := s.objects.Get(s.Context(), mergedOf(session, number), 0, -1)
	if err != nil {
		s.Fatal(err)
	}
	rows := map[uint64]*meta.Run{5: run5(), 7: run7()}
	edit(s, rows[compaction], func(r *meta.Run) { r.Object, r.Size = mergedOf(session, number), int64(len(object)) })
}
