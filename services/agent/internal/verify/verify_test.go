package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

func TestCleanStore(t *testing.T) {
	s := newStore(t)
	s.put(first+"/000000000001-hedged", []byte("x"))
	s.put(second+"/000000000002-failed", []byte("xyz"))
	objects, looked := int64(0), func() int64 { return 0 }
	r, err := Run(t.Context(), s.rows, s.objects, Options{Started: func(n int64, done func() int64) { objects, looked = n, done }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Topics != 1 || r.Sessions != 2 || r.JournalRows != 6 || r.Seals != 1 || r.Segments != 5 || r.Batches != 9 || r.Records != 21 || r.States != 3 {
		t.Errorf("counted %+v", r)
	}
	if objects != 8 || looked() != 8 {
		t.Errorf("%d of %d objects were looked at, want all 8", looked(), objects)
	}
	want := []Unnamed{
		{Key: first + "/000000000001-hedged", Size: 1, Sealed: true},
		{Key: second + "/000000000002-failed", Size: 3},
	}
	if !slices.Equal(r.Unnamed, want) || r.UnnamedCount != 2 || r.UnnamedBytes != 4 {
		t.Errorf("unnamed: %+v", r.Unnamed)
	}
	if p := r.Partitions; len(p) != 2 || p[0].End != 14 || p[1].End != 7 || p[0].Topic != "orders" || p[1].Partition != 1 {
		t.Errorf("partitions: %+v", p)
	}
}

// A partition that was acquired after its row was read has commits of an epoch
// that the row does not know.
func TestMovedOnMeanwhile(t *testing.T) {
	s := newStore(t)
	s.commit(second, 2, part{partition: 1, epoch: 3, base: 7, batches: []int{1}})
	acquire := func(int64, func() int64) {
		edit(s, &meta.Partition{Topic: 1, Partition: 1}, func(p *meta.Partition) { p.Owner, p.Epoch = second, 3 })
	}
	if _, err := Run(t.Context(), s.rows, s.objects, Options{Started: acquire}); err != nil {
		t.Fatal(err)
	}
}

// Damage of every kind is found, and its place is told.
func TestDamage(t *testing.T) {
	a1, a2, b0 := keyOf(first, 1), keyOf(first, 2), keyOf(second, 0)
	for name, c := range map[string]struct {
		damage func(s *store)
		// what the fault must say, beside words of its text
		session   string
		seq       int
		key       string
		at        int // a byte; -1 for any
		partition int
		offset    int
		words     string
	}{
		"a bit of a batch": {
			func(s *store) {
				s.rewrite(a1, func(b []byte) []byte { b[31+batchSize(2)+batchSize(3)] ^= 4; return b })
			}, first, 1, a1, 32 + batchSize(2), 0, 5, "CRC",
		},
		"a bit of a header": {
			func(s *store) { s.rewrite(a1, func(b []byte) []byte { b[20] ^= 4; return b }) },
			first, 1, a1, 0, -1, -1, "header",
		},
		"a bit of a footer": {
			func(s *store) { s.rewrite(b0, func(b []byte) []byte { b[len(b)-20] ^= 4; return b }) },
			second, 0, b0, 32 + batchSize(1) + batchSize(2), -1, -1, "CRC-32C of the footer",
		},
		"a truncated object": {
			func(s *store) { s.rewrite(a2, func(b []byte) []byte { return b[:70] }) },
			first, 2, a2, 70, -1, -1, "has 70 bytes, and the row says",
		},
		"an object that grew": {
			func(s *store) { s.rewrite(a2, func(b []byte) []byte { return append(b, 1) }) },
			first, 2, a2, -1, -1, -1, "bytes, and the row says",
		},
		"a missing object": {
			func(s *store) { s.drop(a1) }, first, 1, a1, 0, -1, -1, "missing",
		},
		"an object of another session": {
			func(s *store) {
				other := s.object(second, 2, part{partition: 1, base: 4, batches: []int{1}, state: stateAt(4)})
				s.rewrite(a2, func([]byte) []byte { return other })
			}, first, 2, a2, 0, -1, -1, "session " + second + " wrote it",
		},
		"the objects of two rows": {
			func(s *store) {
				other := s.object(first, 0, part{partition: 1, base: 4, batches: []int{1}, state: stateAt(4)})
				s.rewrite(a2, func([]byte) []byte { return other })
			}, first, 2, a2, -1, -1, -1, "not in the order of flushes",
		},
		"a missing row": {
			func(s *store) { s.remove(&meta.Entry{Session: first, Seq: 1}) },
			first, 1, "", -1, -1, -1, "missing: the next one is 2",
		},
		"a journal trimmed too far": {
			func(s *store) { s.remove(&meta.Entry{Session: first}) },
			first, 1, a1, 32, 0, 0, "offsets 3 to 8, where 0 is due",
		},
		"a missing last row": {
			func(s *store) {
				s.remove(&meta.Entry{Session: second, Seq: 1})
				edit(s, &meta.Partition{Topic: 1, Partition: 0}, func(p *meta.Partition) {
					p.Tenures = append(p.Tenures, meta.Tenure{Session: second, Epoch: 2, Start: 8, End: 14, EndSeq: 2})
					p.Owner, p.Epoch, p.Start = first, 3, 14
				})
			}, second, -1, "", -1, 0, 9, "end at offset 14, and its journal ends at 9",
		},
		"a missing seal": {
			func(s *store) { s.remove(&meta.Entry{Session: first, Seq: 3}) },
			first, -1, "", -1, -1, -1, "has no seal",
		},
		"a row after the seal": {
			func(s *store) { s.commit(first, 4, part{partition: 0, epoch: 1, base: 8, batches: []int{1}}) },
			first, 4, "", -1, -1, -1, "follows the seal",
		},
		"swapped rows": {
			func(s *store) {
				var segments []meta.Segment
				edit(s, &meta.Entry{Session: first, Seq: 0}, func(e *meta.Entry) { segments = e.Segments })
				edit(s, &meta.Entry{Session: first, Seq: 1}, func(e *meta.Entry) { segments, e.Segments = e.Segments, segments })
				edit(s, &meta.Entry{Session: first, Seq: 0}, func(e *meta.Entry) { e.Segments = segments })
			}, first, 0, a1, 32, 0, 0, "offsets 3 to 8, where 0 is due",
		},
		"a gap": {
			func(s *store) { s.recommit(first, 1, 0, func(c *journal.Commit) { c.Base = 4 }) },
			first, 1, a1, 32, 0, 3, "offsets 4 to 9, where 3 is due",
		},
		"a double": {
			func(s *store) { s.recommit(first, 1, 0, func(c *journal.Commit) { c.Base = 2 }) },
			first, 1, a1, 32, 0, 2, "offsets 2 to 7, where 3 is due",
		},
		"a commit twice": {
			func(s *store) { s.commit(second, 2, part{partition: 0, epoch: 2, base: 9, batches: []int{5}}) },
			second, 2, keyOf(second, 2), 32, 0, 9, "committed already",
		},
		"a commit of an epoch that was over": {
			func(s *store) { s.commit(second, 2, part{partition: 0, epoch: 1, base: 14, batches: []int{1}}) },
			second, 2, keyOf(second, 2), 32, 0, 14, "under epoch 1, which is no tenure of this session",
		},
		"a commit of an epoch to come": {
			func(s *store) { s.commit(second, 2, part{partition: 0, epoch: 3, base: 14, batches: []int{1}}) },
			second, 2, keyOf(second, 2), 32, 0, 14, "the partition is at epoch 2",
		},
		"a commit after the release": {
			func(s *store) { s.commit(second, 2, part{partition: 1, epoch: 2, base: 7, batches: []int{1}}) },
			second, 2, keyOf(second, 2), 32, 1, 7, "journal rows are those from 0 to 2",
		},
		"a commit beyond the tenure's end": {
			func(s *store) {
				edit(s, &meta.Partition{Topic: 1, Partition: 1}, func(p *meta.Partition) {
					p.Tenures[1].End, p.Start, p.StateEnd = 6, 6, 6
				})
			}, second, 0, b0, 32 + batchSize(1), 1, 6, "which ended at 6",
		},
		"a commit to no partition": {
			func(s *store) { s.commit(second, 2, part{partition: 2, epoch: 1, batches: []int{1}}) },
			second, 2, keyOf(second, 2), 32, 2, 0, "there are 2",
		},
		"other records than the row says": {
			func(s *store) { s.recommit(second, 0, 1, func(c *journal.Commit) { c.Records = 1 }) },
			second, 0, b0, 32 + batchSize(1), 1, 5, "the row commits 1 records",
		},
		"a row without one of the parts": {
			func(s *store) {
				edit(s, &meta.Entry{Session: second}, func(e *meta.Entry) {
					commits, _ := journal.ParseCommits(e.Segments[0].Commits)
					e.Segments[0].Commits = journal.AppendCommits(nil, commits[:1])
				})
			}, second, 0, b0, -1, -1, -1, "parts of 2 partitions, and the row commits 1",
		},
		"packed commits cut off": {
			func(s *store) {
				edit(s, &meta.Entry{Session: first, Seq: 1}, func(e *meta.Entry) { e.Segments[0].Commits = e.Segments[0].Commits[:3] })
			}, first, 1, a1, -1, -1, -1, "commits cannot be read",
		},
		"another session's object named": {
			func(s *store) {
				edit(s, &meta.Entry{Session: first, Seq: 1}, func(e *meta.Entry) { e.Segments[0].Key = b0 })
			}, first, 1, b0, -1, -1, -1, "of another session",
		},
		"producers' states that cannot be read": {
			func(s *store) {
				s.commit(second, 2, part{partition: 0, epoch: 2, base: 14, batches: []int{1}, state: []byte{1, 200}})
			}, second, 2, keyOf(second, 2), 32, 0, 14, "producer state",
		},
		"producers' states from the future": {
			func(s *store) {
				s.commit(second, 2, part{partition: 0, epoch: 2, base: 14, batches: []int{1}, state: stateAt(15)})
			}, second, 2, keyOf(second, 2), 32, 0, 14, "up to offset 15",
		},
		"a release's states missing": {
			func(s *store) { s.drop(second + "/states") },
			"", -1, second + "/states", -1, 1, 7, "object not found",
		},
		"a release's states of another offset": {
			func(s *store) {
				other := s.object(second, 2, part{partition: 1, state: stateAt(6)})
				s.rewrite(second+"/states", func([]byte) []byte { return other })
			}, "", -1, second + "/states", -1, 1, 7, "it goes up to offset 6",
		},
		"a release's states of another partition": {
			func(s *store) {
				other := s.object(second, 2, part{partition: 0, state: stateAt(7)})
				s.rewrite(second+"/states", func([]byte) []byte { return other })
			}, "", -1, second + "/states", -1, 1, 7, "none of this partition",
		},
		"tenures with a gap": {
			func(s *store) {
				edit(s, &meta.Partition{Topic: 1, Partition: 1}, func(p *meta.Partition) { p.Tenures[1].Start = 6 })
			}, "", -1, "", -1, 1, 5, "begins at offset 6, where 5 is due",
		},
		"a row whose start is beyond its tenures": {
			func(s *store) { edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Start = 9 }) },
			"", -1, "", -1, 0, 8, "begins at offset 9, where its earlier tenures end at 8",
		},
		"a tenure left out": {
			func(s *store) { edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.Tenures = nil }) },
			"", -1, "", -1, 0, 0, "its earlier tenures end at 0",
		},
		"a log start beyond the end": {
			func(s *store) { edit(s, &meta.Partition{Topic: 1}, func(p *meta.Partition) { p.LogStart = 15 }) },
			"", -1, "", -1, 0, 14, "log start at offset 15",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			c.damage(s)
			_, err := Run(t.Context(), s.rows, s.objects, Options{})
			f, ok := errors.AsType[*FaultError](err)
			if !ok {
				t.Fatalf("got %v, want a fault", err)
			}
			got := fmt.Sprint(f.Session, " ", number(f.Seq), " ", f.Key, " ", number(f.Partition), " ", number(f.Offset))
			want := fmt.Sprint(c.session, " ", c.seq, " ", c.key, " ", c.partition, " ", c.offset)
			if got != want || c.at >= 0 && number(f.Byte) != c.at || !strings.Contains(f.What, c.words) {
				t.Errorf("got  %v\n%s, byte %d\nwant %s, byte %d, with %q", f, got, number(f.Byte), want, c.at, c.words)
			}
		})
	}
}

func number[N uint64 | uint32 | int64](n *N) int {
	if n == nil {
		return -1
	}
	return int(*n)
}

// batchSize is the size of a batch of the store's, whose values have three
// bytes each.
func batchSize(records int) int {
	var b batch.Builder
	for range records {
		b.Append(&batch.Record{Value: []byte("0/0")})
	}
	return len(b.Seal(7, 0))
}

func TestOneTopic(t *testing.T) {
	s := newStore(t)
	s.create(&meta.Topic{Name: "other", ID: 3, Partitions: 1})
	s.drop(keyOf(second, 1))
	r, err := Run(t.Context(), s.rows, s.objects, Options{Topic: "other"})
	if err != nil || r.Segments != 0 || len(r.Partitions) != 1 {
		t.Errorf("a topic beside the damage: %+v, %v", r, err)
	}
	if _, err := Run(t.Context(), s.rows, s.objects, Options{Topic: "orders"}); err == nil {
		t.Error("the damage is not seen")
	}
	if _, err := Run(t.Context(), s.rows, s.objects, Options{Topic: "gone"}); !errors.Is(err, ErrNoTopic) {
		t.Errorf("got %v", err)
	}
}
