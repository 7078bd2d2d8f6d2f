package recovery

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// world is what earlier sessions left, made by hand.
type world struct {
	t       *testing.T
	rows    *memory.Rows
	objects *memory.Objects
	next    map[string]uint64 // seq of each session's journal
	made    int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, rows: memory.NewRows(), objects: memory.NewObjects(), next: map[string]uint64{}}
}

const sessionA, sessionB = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// part is what one segment appends to one partition of topic 1.
type part struct {
	partition   uint32
	epoch, base uint64
	batches     [][]byte
	state       []byte
}

// encode makes a batch of n records.
func encode(producer, seq uint64, n int) []byte {
	var b batch.Builder
	for i := range n {
		b.Append(&batch.Record{Value: fmt.Appendf(nil, "%d/%d/%d", producer, seq, i), Timestamp: 1})
	}
	return b.Seal(producer, seq)
}

// put writes an object with the parts.
func (w *world) put(session string, parts ...part) (key string, size int64, commits []journal.Commit) {
	w.t.Helper()
	object, err := segment.AppendHeader(nil, segment.Header{Session: session})
	if err != nil {
		w.t.Fatal(err)
	}
	foot := &segment.Footer{Number: w.next[session]}
	for _, p := range parts {
		s := segment.Section{Topic: 1, Partition: p.partition, State: p.state}
		for _, b := range p.batches {
			h, err := batch.Check(b)
			if err != nil {
				w.t.Fatal(err)
			}
			object = append(object, b...)
			s.Size += h.Size
			s.Records += h.Records
			s.Batches = append(s.Batches, segment.Batch{
				Size: h.Size, Records: h.Records, CRC: h.CRC, ProducerID: h.ProducerID, Sequence: h.Sequence, MaxTimestamp: h.MaxTimestamp,
			})
		}
		foot.Sections = append(foot.Sections, s)
		commits = append(commits, journal.Commit{
			Topic: 1, Partition: p.partition, Epoch: p.epoch, Base: p.base, Records: s.Records, Size: s.Size, State: p.state != nil,
		})
	}
	object = segment.AppendFooter(object, foot)
	w.made++
	key = fmt.Sprintf("%s/%d", session, w.made)
	body := objstore.Body{Parts: [][]byte{object}, Size: int64(len(object)), CRC32C: segment.Update(0, object)}
	if err := w.objects.Put(w.t.Context(), key, body); err != nil {
		w.t.Fatal(err)
	}
	return key, body.Size, commits
}

// commit writes an object and its row.
func (w *world) commit(session string, parts ...part) {
	w.t.Helper()
	key, size, commits := w.put(session, parts...)
	w.row(&meta.Entry{Session: session, Segments: []meta.Segment{{Key: key, Size: size, Commits: journal.AppendCommits(nil, commits)}}})
}

func (w *world) seal(session string) {
	w.t.Helper()
	w.row(&meta.Entry{Session: session, Seal: true, By: "next"})
}

func (w *world) row(e *meta.Entry) {
	w.t.Helper()
	e.Seq = w.next[e.Session]
	w.next[e.Session]++
	if err := w.rows.Create(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
}

// run recovers partition 0.
func (w *world) run(row *meta.Partition) (*Partition, error) {
	w.t.Helper()
	row.Topic = 1
	found, err := Run(w.t.Context(), w.rows, w.objects, []*meta.Partition{row})
	if err != nil {
		return nil, err
	}
	return found[0], found[0].Err
}

func (w *world) must(row *meta.Partition) *Partition {
	w.t.Helper()
	p, err := w.run(row)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// knows checks that a batch is recognised, at its offset.
func (p *Partition) knows(t *testing.T, b []byte, want uint64) {
	t.Helper()
	v, base, _, err := p.State.Check(identity(t, b))
	if v != producers.Duplicate || base != want || err != nil {
		t.Errorf("a repeat: verdict %d at %d, %v; want a duplicate at %d", v, base, err, want)
	}
}

func identity(t *testing.T, b []byte) producers.Batch {
	t.Helper()
	h, err := batch.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	return producers.Batch{Producer: h.ProducerID, Sequence: h.Sequence, CRC: h.CRC, Records: h.Records}
}

// describe lists where a log's records lie.
func describe(ranges []index.Range) (all []string) {
	for _, r := range ranges {
		all = append(all, fmt.Sprintf("%d+%d in %s", r.Base, r.Records, r.Segment.Key))
	}
	return all
}

// What was never owned is empty.
func TestNothing(t *testing.T) {
	w := newWorld(t)
	p := w.must(&meta.Partition{})
	if p.End != 0 || len(p.Ranges) != 0 || p.State.Len() != 0 {
		t.Errorf("found %+v", p)
	}
}

// A log goes over several tenures, with other partitions in the same segments.
func TestTenures(t *testing.T) {
	w := newWorld(t)
	w.commit(sessionA,
		part{partition: 0, epoch: 3, base: 0, batches: [][]byte{encode(1, 0, 2), encode(2, 0, 3)}},
		part{partition: 1, epoch: 9, base: 70, batches: [][]byte{encode(1, 0, 4)}})
	w.commit(sessionA, part{partition: 1, epoch: 9, base: 74, batches: [][]byte{encode(1, 1, 4)}})
	w.commit(sessionA, part{partition: 0, epoch: 3, base: 5, batches: [][]byte{encode(1, 1, 1)}})
	w.seal(sessionA)
	w.commit(sessionB, part{partition: 0, epoch: 4, base: 6, batches: [][]byte{encode(1, 2, 10)}})
	w.seal(sessionB)
	p := w.must(&meta.Partition{
		Owner: sessionB, Epoch: 4, Start: 6,
		Tenures: []meta.Tenure{{Session: sessionA, Epoch: 3, Start: 0, End: 6, FirstSeq: 0, EndSeq: 3}},
	})
	want := []string{"0+5 in " + sessionA + "/1", "5+1 in " + sessionA + "/3", "6+10 in " + sessionB + "/4"}
	if p.End != 16 || p.EndSeq != 1 || !slices.Equal(describe(p.Ranges), want) {
		t.Errorf("up to %d, seq %d: %q", p.End, p.EndSeq, describe(p.Ranges))
	}
	p.knows(t, encode(1, 0, 2), 0)
	p.knows(t, encode(2, 0, 3), 2)
	p.knows(t, encode(1, 2, 10), 6)
	for i, r := range p.Ranges {
		b, err := w.objects.Get(t.Context(), r.Segment.Key, int64(r.At), int64(r.Size))
		if err != nil {
			t.Fatal(err)
		}
		if h, err := batch.ParseHeader(b); err != nil || h.ProducerID != 1 || h.Sequence != uint64(i) {
			t.Errorf("range %d begins with %+v, %v", i, h, err)
		}
	}
}

// What a session committed under another epoch than the tenure's does not
// count (R5): it had released the partition, and somebody else goes on from
// there.
func TestOtherEpoch(t *testing.T) {
	w := newWorld(t)
	w.commit(sessionA, part{epoch: 3, base: 0, batches: [][]byte{encode(1, 0, 2)}})
	w.commit(sessionA, part{epoch: 4, base: 2, batches: [][]byte{encode(1, 1, 2)}})
	w.commit(sessionA, part{epoch: 2, base: 4, batches: [][]byte{encode(1, 2, 2)}})
	w.seal(sessionA)
	p := w.must(&meta.Partition{Owner: sessionA, Epoch: 3})
	if p.End != 2 || len(p.Ranges) != 1 || p.EndSeq != 3 {
		t.Errorf("up to %d, seq %d: %q", p.End, p.EndSeq, describe(p.Ranges))
	}
	if v, _, _, err := p.State.Check(identity(t, encode(1, 1, 2))); v != producers.New || err != nil {
		t.Errorf("a batch that does not count: verdict %d, %v", v, err)
	}
}

// The end is the furthest of what is known (R4): the tenure's start when it
// committed nothing, the checkpoint's when all is merged, the journal's else.
func TestEnd(t *testing.T) {
	w := newWorld(t)
	w.commit(sessionA, part{epoch: 1, base: 0, batches: [][]byte{encode(1, 0, 10)}})
	w.commit(sessionA, part{epoch: 1, base: 10, batches: [][]byte{encode(1, 1, 10)}})
	w.seal(sessionA)
	w.seal(sessionB)
	a := meta.Tenure{Session: sessionA, Epoch: 1, End: 20, EndSeq: 2}
	for name, c := range map[string]struct {
		row    meta.Partition
		end    uint64
		ranges int
	}{
		"journal":              {meta.Partition{Owner: sessionA, Epoch: 1}, 20, 2},
		"start":                {meta.Partition{Owner: sessionB, Epoch: 2, Start: 20, Tenures: []meta.Tenure{a}}, 20, 2},
		"released":             {meta.Partition{Epoch: 1, Start: 20, Tenures: []meta.Tenure{a}}, 20, 2},
		"checkpoint":           {meta.Partition{Owner: sessionA, Epoch: 1, Checkpoint: meta.Checkpoint{End: 20}}, 20, 0},
		"half a checkpoint":    {meta.Partition{Owner: sessionA, Epoch: 1, Checkpoint: meta.Checkpoint{End: 10}}, 20, 1},
		"all in a checkpoint":  {meta.Partition{Epoch: 2, Start: 20, Checkpoint: meta.Checkpoint{End: 20}}, 20, 0},
		"checkpoint and start": {meta.Partition{Owner: sessionB, Epoch: 2, Start: 20, Checkpoint: meta.Checkpoint{End: 10}, Tenures: []meta.Tenure{a}}, 20, 1},
	} {
		if p := w.must(&c.row); p.End != c.end || len(p.Ranges) != c.ranges {
			t.Errorf("%s: up to %d: %q", name, p.End, describe(p.Ranges))
		}
	}
}

// Records that are missing are never passed over, for their offsets would be
// given out again: recovery says what is wrong, and nobody owns the partition.
func TestMissing(t *testing.T) {
	row := func() *meta.Partition { return &meta.Partition{Owner: sessionA, Epoch: 1} }
	one := part{epoch: 1, base: 0, batches: [][]byte{encode(1, 0, 10)}}
	far := part{epoch: 1, base: 20, batches: [][]byte{encode(1, 1, 10)}}
	for name, c := range map[string]struct {
		prepare func(w *world)
		row     *meta.Partition
		want    error
	}{
		"offsets": {func(w *world) { w.commit(sessionA, one); w.commit(sessionA, far) }, row(), journal.ErrCorrupt},
		"a row": {func(w *world) {
			w.commit(sessionA, one)
			w.next[sessionA]++
			w.commit(sessionA, part{partition: 5, epoch: 1, batches: one.batches})
		}, row(), journal.ErrCorrupt},
		"the first rows": {func(w *world) { w.commit(sessionA, far) }, row(), journal.ErrCorrupt},
		"the tail": {
			func(w *world) { w.commit(sessionA, one) },
			&meta.Partition{Epoch: 2, Start: 20, Tenures: []meta.Tenure{{Session: sessionA, Epoch: 1, End: 20}}}, journal.ErrCorrupt,
		},
		"offsets twice": {func(w *world) { w.commit(sessionA, one); w.commit(sessionA, one) }, row(), journal.ErrCorrupt},
		"packed commits": {func(w *world) {
			w.row(&meta.Entry{Session: sessionA, Segments: []meta.Segment{{Key: "x", Size: 100, Commits: []byte{1, 2}}}})
		}, row(), journal.ErrCorrupt},
		"bytes": {func(w *world) {
			key, size, commits := w.put(sessionA, one)
			commits[0].Size = uint32(size)
			w.row(&meta.Entry{Session: sessionA, Segments: []meta.Segment{{Key: key, Size: size, Commits: journal.AppendCommits(nil, commits)}}})
		}, row(), journal.ErrCorrupt},
		"an object": {func(w *world) {
			w.commit(sessionA, one)
			if err := w.objects.Delete(w.t.Context(), sessionA+"/1"); err != nil {
				w.t.Fatal(err)
			}
		}, row(), objstore.ErrNotFound},
		"a section": {func(w *world) {
			key, size, _ := w.put(sessionA, part{partition: 7, epoch: 1, batches: one.batches})
			commits := []journal.Commit{{Topic: 1, Epoch: 1, Records: 10, Size: 50}}
			w.row(&meta.Entry{Session: sessionA, Segments: []meta.Segment{{Key: key, Size: size, Commits: journal.AppendCommits(nil, commits)}}})
		}, row(), segment.ErrCorrupt},
		"records": {func(w *world) {
			key, size, commits := w.put(sessionA, one)
			commits[0].Records++
			w.row(&meta.Entry{Session: sessionA, Segments: []meta.Segment{{Key: key, Size: size, Commits: journal.AppendCommits(nil, commits)}}})
		}, row(), segment.ErrCorrupt},
		"a state": {func(w *world) {
			key, size, commits := w.put(sessionA, one)
			commits[0].State = true
			w.row(&meta.Entry{Session: sessionA, Segments: []meta.Segment{{Key: key, Size: size, Commits: journal.AppendCommits(nil, commits)}}})
		}, row(), segment.ErrCorrupt},
		"a state's bytes": {func(w *world) {
			w.commit(sessionA, part{epoch: 1, batches: one.batches, state: []byte{1, 2, 3}})
		}, row(), producers.ErrCorrupt},
		"an upgrade": {func(w *world) {
			w.commit(sessionA, part{epoch: 1, batches: one.batches, state: []byte{9, 2, 3}})
		}, row(), segment.ErrTooNew},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.prepare(w)
			w.seal(sessionA)
			if p, err := w.run(c.row); !errors.Is(err, c.want) {
				t.Errorf("recovered %+v, %v", p, err)
			}
		})
	}
}

// state is what an owner that had committed these batches stores.
func state(t *testing.T, end uint64, batches map[uint64][]byte) []byte {
	t.Helper()
	var s flush.State
	bases := make([]uint64, 0, len(batches))
	for base := range batches {
		bases = append(bases, base)
	}
	slices.Sort(bases)
	for _, base := range bases {
		s.Restore(identity(t, batches[base]), base, time.Unix(0, 0))
	}
	return s.Append(nil, end)
}

// The newest whole state counts, and what was committed since; the footers
// before it are not read.
func TestState(t *testing.T) {
	w := newWorld(t)
	b := func(seq uint64) []byte { return encode(1, seq, 10) }
	other := encode(2, 0, 10)
	w.commit(sessionA, part{epoch: 1, base: 0, batches: [][]byte{b(0)}})
	w.commit(sessionA, part{epoch: 1, base: 10, batches: [][]byte{other}, state: state(t, 10, map[uint64][]byte{0: b(0)})})
	w.commit(sessionA, part{epoch: 1, base: 20, batches: [][]byte{b(1)}})
	// This one was gathered while the one before it was in flight.
	w.commit(sessionA, part{epoch: 1, base: 30, batches: [][]byte{b(2)}, state: state(t, 20, map[uint64][]byte{0: b(0), 10: other})})
	w.commit(sessionA, part{epoch: 1, base: 40, batches: [][]byte{b(3), b(4)}})
	w.seal(sessionA)
	for _, unneeded := range []int{1, 2} {
		if err := w.objects.Delete(t.Context(), fmt.Sprint(sessionA, "/", unneeded)); err != nil {
			t.Fatal(err)
		}
	}
	p := w.must(&meta.Partition{Owner: sessionA, Epoch: 1})
	if p.End != 60 {
		t.Errorf("up to %d", p.End)
	}
	for seq, base := range []uint64{0, 20, 30, 40, 50} {
		p.knows(t, b(uint64(seq)), base)
	}
	p.knows(t, other, 10)
}

// After a release, the object that the row names holds the state; what the
// next tenure committed comes on top, and a newer whole state goes before it.
func TestReleasedState(t *testing.T) {
	w := newWorld(t)
	b := func(seq uint64) []byte { return encode(1, seq, 10) }
	lost := encode(9, 0, 10)
	w.commit(sessionA, part{epoch: 1, base: 0, batches: [][]byte{b(0)}, state: state(t, 0, nil)})
	w.commit(sessionA, part{epoch: 1, base: 10, batches: [][]byte{lost}})
	// The release forgot producer 9, which had expired.
	released, _, _ := w.put(sessionA, part{state: state(t, 20, map[uint64][]byte{0: b(0)})}, part{partition: 3, state: state(t, 0, nil)})
	w.seal(sessionA)
	row := &meta.Partition{
		Epoch: 1, Start: 20, State: released, StateEnd: 20,
		Tenures: []meta.Tenure{{Session: sessionA, Epoch: 1, End: 20, EndSeq: 2}},
	}
	p := w.must(row)
	p.knows(t, b(0), 0)
	if p.End != 20 || p.State.Knows(9) {
		t.Errorf("up to %d; producer 9 is known: %v", p.End, p.State.Knows(9))
	}
	w.commit(sessionB, part{epoch: 2, base: 20, batches: [][]byte{b(1)}})
	row.Owner, row.Epoch = sessionB, 2
	p = w.must(row)
	p.knows(t, b(0), 0)
	p.knows(t, b(1), 20)
	w.commit(sessionB, part{epoch: 2, base: 30, batches: [][]byte{b(2)}, state: state(t, 30, map[uint64][]byte{0: b(0), 10: lost, 20: b(1)})})
	w.seal(sessionB)
	p = w.must(row)
	p.knows(t, lost, 10) // only the newer one says so
	for seq, base := range []uint64{0, 20, 30} {
		p.knows(t, b(uint64(seq)), base)
	}
}

// A footer that is larger than the first read of an object's end is read in a
// second, and no more of the object than that.
func TestLargeFooter(t *testing.T) {
	w := newWorld(t)
	var batches [][]byte
	for seq := range uint64(9000) {
		batches = append(batches, encode(seq, 0, 1))
	}
	w.commit(sessionA, part{epoch: 1, batches: batches})
	w.seal(sessionA)
	var s stats.Stats
	found, err := Run(t.Context(), w.rows, s.Objects(w.objects), []*meta.Partition{{Topic: 1, Owner: sessionA, Epoch: 1}})
	if err != nil || found[0].End != 9000 || s.Gets.Load() != 2 {
		t.Fatalf("%v after %d reads", err, s.Gets.Load())
	}
	for _, seq := range []uint64{1, 4000, 8999} {
		found[0].knows(t, batches[seq], seq)
	}
	key := found[0].Ranges[0].Segment.Key
	for _, size := range []int64{-1, found[0].Ranges[0].Segment.Size} {
		if _, err := ReadFooter(t.Context(), w.objects, key, size); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

// A damaged trailer that claims more than the object has is an error.
func TestLyingTrailer(t *testing.T) {
	w := newWorld(t)
	key, size, _ := w.put(sessionA, part{epoch: 1, batches: [][]byte{encode(1, 0, 1)}})
	b, err := w.objects.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-segment.TrailerSize+2] = 0xff // the footer's size
	bad := objstore.Body{Parts: [][]byte{b}, Size: size, CRC32C: segment.Update(0, b)}
	if err := w.objects.Put(t.Context(), "bad/1", bad); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{-1, size} {
		if _, err := ReadFooter(t.Context(), w.objects, "bad/1", size); !errors.Is(err, segment.ErrCorrupt) {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

// Each journal and each footer is read once, however many partitions of a
// session are taken over.
func TestReadsOnce(t *testing.T) {
	w := newWorld(t)
	var parts []part
	var rows []*meta.Partition
	for i := range uint32(50) {
		parts = append(parts, part{partition: i, epoch: 1, batches: [][]byte{encode(1, 0, 1)}})
		rows = append(rows, &meta.Partition{Topic: 1, Partition: i, Owner: sessionA, Epoch: 1})
	}
	w.commit(sessionA, parts...)
	w.seal(sessionA)
	var s stats.Stats
	found, err := Run(t.Context(), s.Rows(w.rows), s.Objects(w.objects), rows)
	if err != nil || s.Gets.Load() != 1 || s.RowReads.Load() != 1 {
		t.Fatalf("%v after %d objects and %d queries", err, s.Gets.Load(), s.RowReads.Load())
	}
	for i, p := range found {
		if p.Row != rows[i] || p.End != 1 {
			t.Errorf("partition %d: %+v", i, p)
		}
		p.knows(t, encode(1, 0, 1), 0)
	}
}

// A row that was trimmed and came back, from a try that landed late, commits what
// the checkpoint covers: the gap behind it is no damage.
func TestRowThatCameBack(t *testing.T) {
	w := newWorld(t)
	w.commit(sessionA, part{epoch: 1, base: 0, batches: [][]byte{encode(1, 0, 10)}})
	w.next[sessionA] += 5
	w.commit(sessionA, part{epoch: 1, base: 30, batches: [][]byte{encode(1, 1, 10)}})
	w.seal(sessionA)
	if p := w.must(&meta.Partition{Owner: sessionA, Epoch: 1, Checkpoint: meta.Checkpoint{End: 30}, State: "", StateEnd: 0}); p.End != 40 || len(p.Ranges) != 1 {
		t.Errorf("up to %d: %q", p.End, describe(p.Ranges))
	}
}

// A seal that landed late where rows were trimmed ends nothing: what was committed
// after it is found. A seal with rows behind it in a journal that was not trimmed
// there is damage.
func TestSealThatCameLate(t *testing.T) {
	for _, covered := range []uint64{30, 0} {
		w := newWorld(t)
		if covered == 0 {
			w.commit(sessionA, part{epoch: 1, base: 0, batches: [][]byte{encode(1, 0, 30)}})
		} else {
			w.next[sessionA]++
		}
		w.seal(sessionA)
		w.next[sessionA] = 3
		w.commit(sessionA, part{epoch: 1, base: 30, batches: [][]byte{encode(1, 1, 10)}})
		w.seal(sessionA)
		found, err := Run(t.Context(), w.rows, w.objects, []*meta.Partition{{Topic: 1, Owner: sessionA, Epoch: 1, Checkpoint: meta.Checkpoint{End: covered}}})
		if err != nil {
			t.Fatal(err)
		}
		if p := found[0]; covered == 0 != errors.Is(p.Err, journal.ErrCorrupt) || covered > 0 && (p.End != 40 || p.EndSeq != 4) {
			t.Errorf("covered to %d: up to %d, row %d, %v", covered, p.End, p.EndSeq, p.Err)
		}
	}
}

// A segment that carries the state may have been sealed before what a checkpoint
// covers by now was committed: the state that the row names knows more.
func TestStateOlderThanCheckpoint(t *testing.T) {
	w := newWorld(t)
	b := func(seq uint64) []byte { return encode(1, seq, 10) }
	other := encode(2, 0, 10)
	w.commit(sessionA, part{epoch: 1, base: 0, batches: [][]byte{b(0)}})
	w.commit(sessionA, part{epoch: 1, base: 10, batches: [][]byte{b(1)}})
	states, _, _ := w.put(sessionA, part{state: state(t, 20, map[uint64][]byte{0: b(0), 10: b(1)})})
	w.commit(sessionA, part{epoch: 1, base: 20, batches: [][]byte{other}, state: state(t, 10, map[uint64][]byte{0: b(0)})})
	w.seal(sessionA)
	p := w.must(&meta.Partition{
		Owner: sessionA, Epoch: 1, FirstSeq: 1, State: states, StateEnd: 20,
		Checkpoint: meta.Checkpoint{End: 20, Compactions: []meta.Compaction{{ID: 1, End: 20}}},
	})
	p.knows(t, b(0), 0)
	p.knows(t, b(1), 10)
	p.knows(t, other, 20)
}
