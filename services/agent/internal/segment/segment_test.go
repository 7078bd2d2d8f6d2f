package segment

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/proto/batch"
)

const session = "00112233445566778899aabbccddeeff"

// example returns a whole object that shows every shape of section, and its
// footer: several producers, none, a section with state, one with nothing else.
func example(tb testing.TB) ([]byte, *Footer) {
	tb.Helper()
	var b batch.Builder
	object, err := AppendHeader(nil, Header{Session: session})
	if err != nil {
		tb.Fatal(err)
	}
	add := func(s *Section, producer, sequence uint64, codec batch.Codec, values ...string) {
		b.Reset()
		for i, v := range values {
			b.Append(&batch.Record{Value: []byte(v), Timestamp: 1_700_000_000_000 + int64(i) - int64(len(v))})
		}
		b.Compress(codec)
		stored := b.Seal(producer, sequence)
		h, err := batch.ParseHeader(stored)
		if err != nil {
			tb.Fatal(err)
		}
		s.Batches = append(s.Batches, describe(&h))
		s.Size += h.Size
		s.Records += h.Records
		object = append(object, stored...)
	}
	const anna, bert = 0xfeedfacecafebeef, 2
	f := &Footer{Number: 511, Sections: make([]Section, 5)}
	s := f.Sections
	s[0].Topic, s[0].Partition = 0, 0
	add(&s[0], anna, 7, batch.None, "one", "two")
	add(&s[0], anna, 8, batch.S2, strings.Repeat("three ", 50))
	add(&s[0], bert, 0, batch.None, "four")
	add(&s[0], anna, 9, batch.None, "five")
	s[1].Topic, s[1].Partition = 0, 3
	add(&s[1], anna, 1<<40, batch.None, "six")
	s[1].State = []byte("state of all producers")
	s[2].Topic, s[2].Partition = 9, 1
	add(&s[2], 0, 0, batch.None, "seven")
	add(&s[2], 0, 0, batch.Zstd, strings.Repeat("eight ", 50))
	s[3].Topic, s[3].Partition = 9, math.MaxUint32
	s[3].State = []byte{}
	s[4].Topic, s[4].Partition = math.MaxUint32, 0
	add(&s[4], bert, math.MaxUint64, batch.LZ4, strings.Repeat("nine ", 50), "ten")
	return AppendFooter(object, f), f
}

func footerOf(tb testing.TB, object []byte) []byte {
	tb.Helper()
	n, err := ParseTrailer(object)
	if err != nil {
		tb.Fatal(err)
	}
	return object[len(object)-n:]
}

func TestRoundTrip(t *testing.T) {
	object, want := example(t)
	h, err := ParseHeader(object[:HeaderSize])
	if err != nil || h.Session != session {
		t.Fatalf("%+v, %v", h, err)
	}
	got, err := ParseFooter(footerOf(t, object))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	got, err = Verify(object)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("Verify: %v\ngot  %+v\nwant %+v", err, got, want)
	}
}

// randomFooter describes batches that do not exist, with numbers of all sizes.
func randomFooter(rng *rand.Rand) *Footer {
	f := &Footer{Number: rng.Uint64() >> rng.IntN(64), Sections: []Section{}}
	producers := []uint64{0, 1, rng.Uint64(), rng.Uint64()}
	topic, partition := uint32(rng.IntN(3)), uint32(rng.IntN(3))
	for range rng.IntN(20) {
		s := Section{Topic: topic, Partition: partition}
		for range rng.IntN(5) {
			b := Batch{
				Size:    batch.HeaderSize + 1 + rng.Uint32N(batch.MaxSize-batch.HeaderSize)>>rng.IntN(20),
				Records: 1 + rng.Uint32N(1<<20)>>rng.IntN(20), CRC: rng.Uint32(),
				ProducerID: producers[rng.IntN(4)], Sequence: rng.Uint64() >> rng.IntN(64),
				MaxTimestamp: int64(rng.Uint64()) >> rng.IntN(64),
			}
			s.Size += b.Size
			s.Records += b.Records
			s.Batches = append(s.Batches, b)
		}
		if rng.IntN(3) == 0 {
			s.State = make([]byte, rng.IntN(300))
		}
		f.Sections = append(f.Sections, s)
		if rng.IntN(2) == 0 {
			topic, partition = topic+1+rng.Uint32N(1<<20), rng.Uint32N(1<<20)
		} else {
			partition += 1 + rng.Uint32N(1000)
		}
	}
	return f
}

func TestRandomFooters(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		want := randomFooter(rng)
		prefix := make([]byte, rng.IntN(50))
		got, err := ParseFooter(AppendFooter(prefix, want)[len(prefix):])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d: %v\ngot  %+v\nwant %+v", i, err, got, want)
		}
	}
}

// What the footer is for is a list that stays small beside the batches.
func TestFooterIsCompact(t *testing.T) {
	for _, c := range []struct {
		sections, batches int
		limit             float64
	}{{16, 25, 15}, {256, 1, 22}} {
		f := busyFooter(c.sections, c.batches)
		perBatch := float64(len(AppendFooter(nil, f))) / float64(c.sections*c.batches)
		if perBatch > c.limit {
			t.Errorf("%d sections of %d batches: %.1f bytes per batch", c.sections, c.batches, perBatch)
		}
	}
}

// busyFooter is that of a flush under load: one producer, batches of 10 KiB.
func busyFooter(sections, batches int) *Footer {
	flat := make([]Batch, sections*batches)
	f := &Footer{Number: 123_456, Sections: make([]Section, sections)}
	for i := range flat {
		flat[i] = Batch{
			Size: 10_240 + uint32(i), Records: 100, CRC: 0x9e3779b9 * uint32(i), ProducerID: 0xfeedfacecafebeef,
			Sequence: 1_000_000 + uint64(i%batches), MaxTimestamp: 1_700_000_000_000 + int64(i%batches),
		}
	}
	for i := range f.Sections {
		f.Sections[i] = Section{Topic: 1, Partition: uint32(i), Batches: flat[i*batches : (i+1)*batches]}
	}
	return f
}

func TestAppendFooterAllocatesOnce(t *testing.T) {
	f := busyFooter(16, 25)
	// Under the race detector slices.Grow takes a second one.
	if n := testing.AllocsPerRun(10, func() { AppendFooter(nil, f) }); n > 2 {
		t.Errorf("into nothing: %v allocations", n)
	}
	room := make([]byte, 0, 64<<10)
	if n := testing.AllocsPerRun(10, func() { AppendFooter(room, f) }); n != 0 {
		t.Errorf("into room enough: %v allocations", n)
	}
	b := AppendFooter(nil, f)
	if n := testing.AllocsPerRun(10, func() { _, _ = ParseFooter(b) }); n != 3 {
		t.Errorf("parsing: %v allocations, want the footer, its sections, and all batches", n)
	}
}

// Whatever ParseFooter would refuse must stop its writer: it could be
// committed and acknowledged, but never read.
func TestAppendFooterRefusesWhatCannotBeRead(t *testing.T) {
	huge := make([]Batch, 300)
	for i := range huge {
		huge[i] = Batch{Size: batch.MaxSize, Records: 1}
	}
	many := make([]Batch, 2000)
	for i := range many {
		many[i] = Batch{Size: 100, Records: batch.MaxSize / 4}
	}
	for name, sections := range map[string][]Section{
		"partitions out of order": {{Topic: 1, Partition: 2}, {Topic: 1, Partition: 1}},
		"topics out of order":     {{Topic: 2, Partition: 1}, {Topic: 1, Partition: 2}},
		"the same partition":      {{Topic: 1, Partition: 1}, {Topic: 1, Partition: 1}},
		"4 GiB":                   {{Batches: huge}},
		"2^32 records":            {{Batches: many}},
		"a batch of nothing":      {{Batches: []Batch{{Records: 1}}}},
		"a batch without records": {{Batches: []Batch{{Size: 100}}}},
		"a batch too large":       {{Batches: []Batch{{Size: batch.MaxSize + 1, Records: 1}}}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatal("written without complaint")
				}
			}()
			AppendFooter(nil, &Footer{Sections: sections})
		})
	}
}

func TestSessionIDs(t *testing.T) {
	for _, id := range []string{"", session[1:], session + "00", strings.ToUpper(session), "x" + session[1:], fmt.Sprintf("%-32s", "ab")} {
		if b, err := AppendHeader(nil, Header{Session: id}); err == nil || b != nil {
			t.Errorf("%q makes a header", id)
		}
	}
}

func TestNewerVersions(t *testing.T) {
	object, _ := example(t)
	for name, at := range map[string]int{
		"header version": 8, "header flags": 10,
		"footer version": len(object) - 12, "footer flags": len(object) - 10,
		"batch version": HeaderSize + 8,
	} {
		t.Run(name, func(t *testing.T) {
			object[at] += 2
			defer func() { object[at] -= 2 }()
			if _, err := Verify(object); !errors.Is(err, ErrTooNew) || !strings.Contains(err.Error(), "upgrade") {
				t.Fatal(err)
			}
		})
	}
}
