package producers

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// exampleBytes is a state as the first release stores it; docs/formats.md
// shows the same.
const exampleBytes = "01 e807 01" + // version 1, end 1000, one producer
	" 2a00000000000000 82 01 03" + // producer 42, from sequence 130 on, 3 batches
	" 44332211 64 ee05" + // crc 0x11223344, 100 records at 750
	" efbeadde 01 64" + // crc 0xdeadbeef, 1 record at 850
	" 00000000 32 64" // crc 0, 50 records at 950

func example(now time.Time) *State[int] {
	s := &State[int]{}
	s.Restore(Batch{Producer: 42, Sequence: 130, CRC: 0x11223344, Records: 100}, 750, now)
	s.Restore(Batch{Producer: 42, Sequence: 131, CRC: 0xdeadbeef, Records: 1}, 850, now)
	s.Restore(Batch{Producer: 42, Sequence: 132, CRC: 0, Records: 50}, 950, now)
	return s
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A state that an earlier release stored must stay readable, or all its
// producers' retries are refused.
func TestGolden(t *testing.T) {
	now := time.Unix(0, 0)
	want := unhex(t, exampleBytes)
	if got := example(now).Append(nil, 1000); !bytes.Equal(got, want) {
		t.Errorf("stored as\n%x, want\n%x", got, want)
	}
	s, end, err := Parse[int](want, now)
	if err != nil || end != 1000 || !slices.Equal(facts(s), facts(example(now))) {
		t.Errorf("read up to %d, %v: %v", end, err, facts(s))
	}
}

// Only what is committed is stored: a next owner must not take what never came
// to a commit for a duplicate (hole 15).
func TestInFlightIsNotStored(t *testing.T) {
	now := time.Unix(0, 0)
	var s State[int]
	for seq := range uint64(4) {
		s.Begin(contents(1, seq), 1, now)
	}
	s.Begin(contents(2, 0), 1, now)
	s.Commit(1, 10, now)
	s.Commit(1, 20, now)
	got, _, err := Parse[int](s.Append(nil, 30), now)
	if err != nil {
		t.Fatal(err)
	}
	if got.Knows(2) || got.Len() != 1 {
		t.Errorf("knows %v", got.IDs())
	}
	for seq, want := range []Verdict{Duplicate, Duplicate, New} {
		if v, _, _, err := got.Check(contents(1, uint64(seq))); v != want || err != nil {
			t.Errorf("sequence %d: verdict %d, %v", seq, v, err)
		}
	}
}

// The age of a producer starts again at a takeover: the clock that wrote the
// state says nothing here.
func TestAgeStartsAgain(t *testing.T) {
	written, read := time.Unix(1_000_000, 0), time.Unix(5, 0)
	s, _, err := Parse[int](example(written).Append(nil, 1000), read)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Expire(read); n != 0 {
		t.Errorf("%d expired at once", n)
	}
	if n := s.Expire(read.Add(1)); n != 1 {
		t.Errorf("%d expired with age", n)
	}
}

// A newer program's state is told from a damaged one: an upgrade mends it.
func TestVersions(t *testing.T) {
	b := example(time.Unix(0, 0)).Append(nil, 1000)
	for version, want := range map[byte]error{0: ErrCorrupt, 2: ErrTooNew, 255: ErrTooNew} {
		b[0] = version
		if _, _, err := Parse[int](b, time.Unix(0, 0)); !errors.Is(err, want) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	if _, _, err := Parse[int](nil, time.Unix(0, 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("nothing: %v", err)
	}
}

func TestTruncated(t *testing.T) {
	b := randomState(1).Append(nil, 77)
	for n := range b {
		if _, _, err := Parse[int](b[:n], time.Unix(0, 0)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(b), err)
		}
	}
	if _, _, err := Parse[int](append(b, 0), time.Unix(0, 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte too many: %v", err)
	}
}

func randomState(seed uint64) *State[int] {
	r := rand.New(rand.NewPCG(seed, 9))
	s := &State[int]{}
	base := uint64(0)
	for id := range r.Uint64N(6) {
		for seq := range r.Uint64N(150) {
			s.Restore(contents(id*id<<40, seq), base, time.Unix(0, 0))
			base += r.Uint64N(1 << 30)
		}
	}
	return s
}

// A stored state that claims much and holds little costs little.
func TestParseMemory(t *testing.T) {
	hostile := []byte{stateVersion, 0, 0xff, 0xff, 0xff, 0x0f} // 2^25 producers
	for range 1000 {
		hostile = append(hostile, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0) // one, without a batch
	}
	hostile = append(hostile, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0xff, 0xff, 0xff, 0x0f)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, err := Parse[int](hostile, time.Unix(0, 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("read with %v", err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes cost %d", len(hostile), n)
	}
}

// FuzzParse: no panic, a bounded number of producers, each within the window,
// and what is read means the same when it is stored again.
func FuzzParse(f *testing.F) {
	f.Add(example(time.Unix(0, 0)).Append(nil, 1000))
	f.Add((&State[int]{}).Append(nil, 0))
	for seed := range uint64(5) {
		f.Add(randomState(seed).Append(nil, 1<<50))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, end, err := Parse[int](b, time.Unix(0, 0))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooNew) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if s.Len() > len(b)/10 {
			t.Fatalf("%d producers out of %d bytes", s.Len(), len(b))
		}
		for id, p := range s.producers {
			if n := p.next - p.lo; n == 0 || n > Window || p.done != p.next || len(p.ring) > Window {
				t.Fatalf("producer %d remembers %d batches in %d slots", id, n, len(p.ring))
			}
		}
		again, end2, err := Parse[int](s.Append(nil, end), time.Unix(0, 0))
		if err != nil || end2 != end || !slices.Equal(facts(again), facts(s)) {
			t.Fatalf("stored again up to %d, %v:\n%v\nwas\n%v", end2, err, facts(again), facts(s))
		}
	})
}
