package producers

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// model says what State should, in the plainest way: it keeps every batch
// ever, and counts.
type model map[uint64]*history

type history struct {
	first   uint64 // the sequence of the first batch that is known
	batches []noted
	done    uint64 // batches below this sequence are committed
	highest uint64 // behind the highest sequence that ever was in flight here
	touched time.Time
}

type noted struct {
	Batch
	base uint64
}

func (h *history) next() uint64 { return h.first + uint64(len(h.batches)) }

// check is the contract: the last 128 batches of a producer are recognised,
// counted from the highest that was in flight.
func (m model) check(b Batch) (Verdict, uint64, error) {
	h := m[b.Producer]
	switch {
	case h == nil && b.Sequence == 0:
		return New, 0, nil
	case h == nil:
		return 0, 0, reason.UnknownProducer
	case b.Sequence > h.next():
		return 0, 0, reason.SequenceGap
	case b.Sequence == h.next() && h.next()-h.done >= 128:
		return 0, 0, reason.Overloaded
	case b.Sequence == h.next():
		return New, 0, nil
	case b.Sequence < h.first || b.Sequence+128 < h.highest:
		return 0, 0, reason.SequenceTooOld
	}
	known := h.batches[b.Sequence-h.first]
	switch {
	case known.CRC != b.CRC || known.Records != b.Records:
		return 0, 0, reason.SequenceConflict
	case b.Sequence < h.done:
		return Duplicate, known.base, nil
	default:
		return InFlight, 0, nil
	}
}

func (m model) begin(b Batch, now time.Time) {
	h := m[b.Producer]
	if h == nil {
		h = &history{}
		m[b.Producer] = h
	}
	h.batches = append(h.batches, noted{Batch: b})
	h.highest = max(h.highest, h.next())
	h.touched = now
}

// restart is what a next owner knows: nothing that is in flight, and ages that
// begin anew.
func (m model) restart(now time.Time) {
	for id, h := range m {
		h.batches = h.batches[:h.done-h.first]
		h.touched = now
		if len(h.batches) == 0 || h.highest >= h.done+128 { // what it knew is beyond the window
			delete(m, id)
		}
	}
}

// world runs State and model side by side.
type world struct {
	t     *testing.T
	r     *rand.Rand
	seed  uint64
	state *State[int]
	model model
	now   time.Time
	end   uint64
	queue []flight // in flight, in the order of their offsets
}

type flight struct {
	Batch
	id int
}

func TestStateAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		w := &world{
			t: t, r: rand.New(rand.NewPCG(seed, 1)), seed: seed, state: &State[int]{}, model: model{},
			now: time.Unix(1_700_000_000, 0),
		}
		for range 3000 {
			w.step()
		}
	}
}

func (w *world) step() {
	w.t.Helper()
	w.now = w.now.Add(time.Duration(w.r.IntN(int(time.Minute))))
	switch n := w.r.IntN(1000); {
	case n < 700:
		w.send(w.batch())
	case n < 985:
		for range w.r.IntN(4) {
			w.commit()
		}
	case n < 990:
		for len(w.queue) > 0 {
			w.commit()
		}
	case n < 993:
		w.restart()
	default:
		w.expire()
	}
}

// batch makes the next one of a producer, mostly, or a repeat of any age.
func (w *world) batch() Batch {
	id := uint64(1 + w.r.IntN(4))
	next := uint64(0)
	if h := w.model[id]; h != nil {
		next = h.next()
	}
	seq := next
	switch w.r.IntN(10) {
	case 0:
		seq += uint64(w.r.IntN(3))
	case 1, 2:
		seq -= min(seq, uint64(w.r.IntN(10)))
	case 3:
		seq -= min(seq, uint64(w.r.IntN(260)))
	}
	b := contents(id, seq)
	if w.r.IntN(20) == 0 {
		b.CRC++
	} else if w.r.IntN(20) == 0 {
		b.Records++
	}
	return b
}

// contents is what a producer always sends under a sequence.
func contents(id, seq uint64) Batch {
	return Batch{Producer: id, Sequence: seq, CRC: uint32(id*1e6 + seq), Records: 1 + uint32(seq%5)}
}

func (w *world) send(b Batch) {
	w.t.Helper()
	verdict, base, id, err := w.state.Check(b)
	wantVerdict, wantBase, wantErr := w.model.check(b)
	wantID := 0
	if wantErr == nil && wantVerdict == InFlight {
		i := slices.IndexFunc(w.queue, func(f flight) bool { return f.Producer == b.Producer && f.Sequence == b.Sequence })
		wantID = w.queue[i].id
	}
	if verdict != wantVerdict || base != wantBase || id != wantID || !errors.Is(err, wantErr) {
		w.t.Fatalf("seed %d: %+v: verdict %d at %d, handle %d, %v; want %d at %d, handle %d, %v",
			w.seed, b, verdict, base, id, err, wantVerdict, wantBase, wantID, wantErr)
	}
	if err == nil && verdict == New {
		f := flight{Batch: b, id: 1 + w.r.Int()/2}
		w.state.Begin(b, f.id, w.now)
		w.model.begin(b, w.now)
		w.queue = append(w.queue, f)
	}
}

func (w *world) commit() {
	if len(w.queue) == 0 {
		return
	}
	f := w.queue[0]
	w.queue = w.queue[1:]
	w.state.Commit(f.Producer, w.end, w.now)
	h := w.model[f.Producer]
	h.batches[h.done-h.first].base = w.end
	h.done++
	h.touched = w.now
	w.end += uint64(f.Records) + uint64(w.r.IntN(3)) // somebody else's in between
}

// restart writes the state, drops what is in flight, and reads it again.
func (w *world) restart() {
	w.t.Helper()
	stored := w.state.Append(nil, w.end)
	state, end, err := Parse[int](stored, w.now)
	if err != nil || end != w.end {
		w.t.Fatalf("seed %d: read the state up to %d, %v; want %d", w.seed, end, err, w.end)
	}
	w.state, w.queue = state, nil
	w.model.restart(w.now)
	w.checkKnown()
}

func (w *world) expire() {
	w.t.Helper()
	before := w.now.Add(-time.Duration(w.r.IntN(int(10 * time.Minute))))
	n := 0
	for id, h := range w.model {
		if h.done == h.next() && h.touched.Before(before) {
			delete(w.model, id)
			n++
		}
	}
	if got := w.state.Expire(before); got != n {
		w.t.Fatalf("seed %d: %d producers expired, want %d", w.seed, got, n)
	}
	w.checkKnown()
}

func (w *world) checkKnown() {
	w.t.Helper()
	want := slices.Sorted(maps.Keys(w.model))
	if got := w.state.IDs(); !slices.Equal(got, want) || w.state.Len() != len(want) {
		w.t.Fatalf("seed %d: %v are known, want %v", w.seed, got, want)
	}
	for id := range uint64(6) {
		if w.state.Knows(id) != (w.model[id] != nil) {
			w.t.Fatalf("seed %d: knows %d: %v", w.seed, id, w.state.Knows(id))
		}
	}
}

// A producer may have exactly 128 batches in flight, and the ring that grew
// under them still holds each with its own handle; then every commit makes
// room for one more, and forgets the oldest.
func TestFullWindow(t *testing.T) {
	var s State[int]
	now := time.Unix(0, 0)
	for seq := range uint64(Window) {
		s.Begin(contents(1, seq), int(1000+seq), now)
	}
	for seq := range uint64(Window) {
		if v, _, id, err := s.Check(contents(1, seq)); v != InFlight || id != int(1000+seq) || err != nil {
			t.Fatalf("sequence %d: verdict %d, handle %d, %v", seq, v, id, err)
		}
	}
	_, _, _, err := s.Check(contents(1, Window))
	if !errors.Is(err, reason.Overloaded) || reason.From(err).RetryDelay <= 0 {
		t.Fatalf("one more than the window: %v", err)
	}
	for seq := uint64(Window); seq < 3*Window; seq++ {
		s.Commit(1, 10*(seq-Window), now)
		if v, base, _, err := s.Check(contents(1, seq-Window)); v != Duplicate || base != 10*(seq-Window) || err != nil {
			t.Fatalf("sequence %d: verdict %d at %d, %v", seq-Window, v, base, err)
		}
		if v, _, _, err := s.Check(contents(1, seq)); v != New || err != nil {
			t.Fatalf("sequence %d: verdict %d, %v", seq, v, err)
		}
		s.Begin(contents(1, seq), int(1000+seq), now)
		if _, _, _, err := s.Check(contents(1, seq-Window)); !errors.Is(err, reason.SequenceTooOld) {
			t.Fatalf("sequence %d behind the window: %v", seq-Window, err)
		}
	}
	if n := len(s.producers[1].ring); n != Window {
		t.Errorf("the ring has %d slots", n)
	}
}

// What a next owner reads from footers makes the state that this one has,
// whatever part of it a stored state covers already.
func TestRestore(t *testing.T) {
	now := time.Unix(0, 0)
	var old State[int]
	var stored [][]byte
	type commit struct {
		Batch
		base uint64
	}
	var log []commit
	r := rand.New(rand.NewPCG(2, 2))
	next := map[uint64]uint64{}
	for base := range uint64(700) {
		stored = append(stored, old.Append(nil, base))
		id := uint64(1 + r.IntN(3))
		b := contents(id, next[id])
		b.Records = 1
		next[id]++
		old.Begin(b, 1, now)
		old.Commit(id, base, now)
		log = append(log, commit{b, base})
	}
	want := facts(&old)
	for from := 0; from < len(stored); from += 13 {
		b := stored[from]
		s, end, err := Parse[int](b, now)
		if err != nil || end != uint64(from) {
			t.Fatal(end, err)
		}
		for _, c := range log[max(0, from-5):] { // footers overlap with the state
			s.Restore(c.Batch, c.base, now)
		}
		if got := facts(s); !slices.Equal(got, want) {
			t.Fatalf("restored from %d:\n%v\nwant\n%v", from, got, want)
		}
	}
	var s State[int]
	for _, c := range log[100:] { // the beginning expired
		s.Restore(c.Batch, c.base, now)
	}
	if got := facts(&s); !slices.Equal(got, want) {
		t.Fatalf("restored from the last 600:\n%v\nwant\n%v", got, want)
	}
}

// facts lists what a state knows of committed batches.
func facts[F any](s *State[F]) (all []noted) {
	for _, id := range s.IDs() {
		p := s.producers[id]
		for seq := p.lo; seq < p.done; seq++ {
			sl := p.slot(seq)
			all = append(all, noted{Batch{Producer: id, Sequence: seq, CRC: sl.crc, Records: sl.records}, sl.base})
		}
	}
	return all
}

// A producer that came back after it had expired begins at a sequence that
// this owner cannot connect with what it knows: it takes the later run.
func TestRestoreAfterGap(t *testing.T) {
	var s State[int]
	now := time.Unix(0, 0)
	s.Restore(contents(1, 3), 30, now)
	s.Restore(contents(1, 9), 90, now)
	for _, c := range []struct {
		seq  uint64
		want error
	}{{3, reason.SequenceTooOld}, {8, reason.SequenceTooOld}, {11, reason.SequenceGap}} {
		if _, _, _, err := s.Check(contents(1, c.seq)); !errors.Is(err, c.want) {
			t.Errorf("sequence %d: %v", c.seq, err)
		}
	}
	if v, base, _, err := s.Check(contents(1, 9)); v != Duplicate || base != 90 || err != nil {
		t.Errorf("sequence 9: %d at %d, %v", v, base, err)
	}
	if v, _, _, err := s.Check(contents(1, 10)); v != New || err != nil {
		t.Errorf("sequence 10: %d, %v", v, err)
	}
}

// A late or doubled Commit must not touch what is not in flight.
func TestCommitOfNothing(t *testing.T) {
	var s State[int]
	now := time.Unix(0, 0)
	s.Commit(1, 5, now)
	s.Begin(contents(1, 0), 7, now)
	s.Commit(1, 10, now)
	s.Commit(1, 20, now)
	if v, base, _, err := s.Check(contents(1, 0)); v != Duplicate || base != 10 || err != nil {
		t.Errorf("verdict %d at %d, %v", v, base, err)
	}
	if v, _, _, err := s.Check(contents(1, 1)); v != New || err != nil {
		t.Errorf("the next: verdict %d, %v", v, err)
	}
}
