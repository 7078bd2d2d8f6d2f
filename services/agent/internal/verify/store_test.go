package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

var (
	first  = strings.Repeat("a", 32) // sealed by second
	second = strings.Repeat("b", 32)
)

// store is a store whose content a test writes, and damages, by hand.
type store struct {
	*testing.T
	rows    *memory.Rows
	objects *memory.Objects
}

// part is what a segment has of a partition.
type part struct {
	partition uint32
	epoch     uint64
	base      uint64
	batches   []int  // how many records each has
	state     []byte // of the producers
}

// newStore has a topic of two partitions. The first session wrote to both and
// was taken over; the second still owns partition 0, and released partition 1.
func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{T: t, rows: memory.NewRows(), objects: memory.NewObjects()}
	s.create(&meta.Topic{Name: "orders", ID: 1, Partitions: 2})
	s.create(&meta.Topic{Name: "gone", ID: 2, Partitions: 1, Deleted: true})
	s.create(&meta.Session{ID: first, StartedMillis: 1, Sealed: true})
	s.create(&meta.Session{ID: second, StartedMillis: 2})
	s.commit(first, 0, part{partition: 0, epoch: 1, batches: []int{2, 1}}, part{partition: 1, epoch: 1, batches: []int{4}})
	s.commit(first, 1, part{partition: 0, epoch: 1, base: 3, batches: []int{2, 3}})
	s.commit(first, 2, part{partition: 1, epoch: 1, base: 4, batches: []int{1}, state: stateAt(4)})
	s.create(&meta.Entry{Session: first, Seq: 3, Seal: true, By: second})
	s.commit(second, 0, part{partition: 0, epoch: 2, base: 8, batches: []int{1}}, part{partition: 1, epoch: 2, base: 5, batches: []int{2}})
	s.commit(second, 1, part{partition: 0, epoch: 2, base: 9, batches: []int{5}, state: stateAt(9)})
	s.create(&meta.Partition{
		Topic: 1, Partition: 0, Owner: second, Epoch: 2, Start: 8,
		Tenures: []meta.Tenure{{Session: first, Epoch: 1, Start: 0, End: 8, FirstSeq: 0, EndSeq: 3}},
	})
	s.create(&meta.Partition{
		Topic: 1, Partition: 1, Epoch: 2, Start: 7, State: second + "/states", StateEnd: 7,
		Tenures: []meta.Tenure{
			{Session: first, Epoch: 1, Start: 0, End: 5, FirstSeq: 0, EndSeq: 3},
			{Session: second, Epoch: 2, Start: 5, End: 7, FirstSeq: 0, EndSeq: 2},
		},
	})
	s.put(second+"/states", s.object(second, 2, part{partition: 1, state: stateAt(7)}))
	return s
}

func stateAt(end uint64) []byte { return new(producers.State[struct{}]).Append(nil, end) }

func (s *store) create(row meta.Row) {
	s.Helper()
	if err := s.rows.Create(s.Context(), row); err != nil {
		s.Fatal(err)
	}
}

// edit changes a row.
func edit[R meta.Row](s *store, row R, change func(R)) {
	s.Helper()
	if err := s.rows.Get(s.Context(), row); err != nil {
		s.Fatal(err)
	}
	change(row)
	if err := s.rows.Swap(s.Context(), row); err != nil {
		s.Fatal(err)
	}
}

func (s *store) remove(row meta.Row) {
	s.Helper()
	if err := errors.Join(s.rows.Get(s.Context(), row), s.rows.Delete(s.Context(), row)); err != nil {
		s.Fatal(err)
	}
}

// rewrite puts other bytes in an object's place.
func (s *store) rewrite(key string, change func([]byte) []byte) {
	s.Helper()
	b, err := s.objects.Get(s.Context(), key, 0, -1)
	if err != nil {
		s.Fatal(err)
	}
	s.drop(key)
	s.put(key, change(b))
}

func (s *store) drop(key string) {
	s.Helper()
	if err := s.objects.Delete(s.Context(), key); err != nil {
		s.Fatal(err)
	}
}

func (s *store) put(key string, b []byte) {
	s.Helper()
	body := objstore.Body{Parts: [][]byte{b}, Size: int64(len(b)), CRC32C: segment.Update(0, b)}
	if err := s.objects.Put(s.Context(), key, body); err != nil {
		s.Fatal(err)
	}
}

// keyOf is the key of the segment that a row made here commits.
func keyOf(session string, seq uint64) string { return fmt.Sprintf("%s/%012d-x", session, seq) }

// commit writes a segment and the row that commits it.
func (s *store) commit(session string, seq uint64, parts ...part) {
	s.Helper()
	b := s.object(session, seq, parts...)
	s.put(keyOf(session, seq), b)
	f, err := segment.Verify(b)
	if err != nil {
		s.Fatal(err)
	}
	var commits []journal.Commit
	for i, p := range parts {
		commits = append(commits, journal.Commit{
			Topic: 1, Partition: p.partition, Epoch: p.epoch, Base: p.base,
			Records: f.Sections[i].Records, Size: f.Sections[i].Size, State: p.state != nil,
		})
	}
	s.create(&meta.Entry{Session: session, Seq: seq, Segments: []meta.Segment{
		{Key: keyOf(session, seq), Size: int64(len(b)), Commits: journal.AppendCommits(nil, commits)},
	}})
}

func (s *store) object(session string, number uint64, parts ...part) []byte {
	s.Helper()
	b, err := segment.AppendHeader(nil, segment.Header{Session: session})
	if err != nil {
		s.Fatal(err)
	}
	f := segment.Footer{Number: number}
	for _, p := range parts {
		section := segment.Section{Topic: 1, Partition: p.partition, State: p.state}
		b = s.appendBatches(b, &section, p)
		f.Sections = append(f.Sections, section)
	}
	return segment.AppendFooter(b, &f)
}

// appendBatches appends what a part holds, which is the same wherever it stands.
func (s *store) appendBatches(b []byte, section *segment.Section, p part) []byte {
	s.Helper()
	for i, records := range p.batches {
		var builder batch.Builder
		for n := range records {
			builder.Append(&batch.Record{Value: fmt.Appendf(nil, "%d/%d", p.base, n), Timestamp: int64(100 + p.base - uint64(i))})
		}
		stored := builder.Seal(7, uint64(i))
		h, err := batch.ParseHeader(stored)
		if err != nil {
			s.Fatal(err)
		}
		section.Batches = append(section.Batches, segment.Batch{
			Size: h.Size, Records: h.Records, CRC: h.CRC, ProducerID: h.ProducerID, Sequence: h.Sequence, MaxTimestamp: h.MaxTimestamp,
		})
		b = append(b, stored...)
	}
	return b
}

// recommit changes what a row commits to one partition.
func (s *store) recommit(session string, seq uint64, partition uint32, change func(*journal.Commit)) {
	s.Helper()
	edit(s, &meta.Entry{Session: session, Seq: seq}, func(e *meta.Entry) {
		commits, err := journal.ParseCommits(e.Segments[0].Commits)
		if err != nil {
			s.Fatal(err)
		}
		i := slices.IndexFunc(commits, func(c journal.Commit) bool { return c.Partition == partition })
		change(&commits[i])
		e.Segments[0].Commits = journal.AppendCommits(nil, commits)
	})
}
