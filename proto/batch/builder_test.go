package batch

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
)

// The caller bounds a batch by Size and RecordSize, so neither may say less
// than what Append and Seal make of it.
func TestSizes(t *testing.T) {
	var b Builder
	if b.Size() != HeaderSize || b.Len() != 0 || b.Seal(1, 1) != nil {
		t.Fatalf("empty: size %d, %d records", b.Size(), b.Len())
	}
	records := append(append(plain(), extreme()...), random(rand.New(rand.NewPCG(3, 4)), 200)...)
	for i := range records {
		before := b.Size()
		b.Append(&records[i])
		if added, bound := b.Size()-before, RecordSize(&records[i]); added > bound {
			t.Fatalf("record %d took %d bytes, and RecordSize says %d", i, added, bound)
		}
	}
	size := b.Size()
	if plain := b.Seal(1, 2); len(plain) != size || b.Len() != len(records) {
		t.Fatalf("sealed %d bytes of %d, %d records of %d", len(plain), size, b.Len(), len(records))
	}
	b.Compress(S2)
	h, err := Check(b.Seal(1, 2))
	if err != nil || b.Size() != size || int(h.PayloadSize) != size-HeaderSize || int(h.Size) >= size {
		t.Fatalf("compressed: size %d of %d, header %+v, %v", b.Size(), size, h, err)
	}
}

// A batch that a producer gives up goes on under a fresh producer id: the same
// records, sealed again, must be a whole batch again.
func TestSealAgain(t *testing.T) {
	for _, c := range codecs {
		var b Builder
		records := plain()
		for i := range records {
			b.Append(&records[i])
		}
		b.Compress(c)
		first := bytes.Clone(b.Seal(1, 9))
		h, got, err := decode(new(Decoder), b.Seal(2, 0))
		if err != nil || h.ProducerID != 2 || h.Sequence != 0 || !reflect.DeepEqual(got, records) {
			t.Fatalf("%s: %+v, %v", c, h, err)
		}
		if again := b.Seal(1, 9); !bytes.Equal(first, again) {
			t.Fatalf("%s: the same ids give other bytes, which a retry must not", c)
		}
	}
}

// Nothing of a batch may show in the one that reuses its memory.
func TestResetForgets(t *testing.T) {
	var b Builder
	for i, c := range append(codecs, codecs...) {
		records := random(rand.New(rand.NewPCG(5, uint64(i))), 50-6*i)
		for j := range records {
			b.Append(&records[j])
		}
		b.Compress(c)
		if got, want := b.Seal(42, 7), build(c, records); !bytes.Equal(got, want) {
			t.Fatalf("round %d: a reused builder gives other bytes", i)
		}
		b.Reset()
		if b.Size() != HeaderSize || b.Len() != 0 || b.Seal(1, 1) != nil {
			t.Fatalf("after Reset: size %d, %d records", b.Size(), b.Len())
		}
	}
}

// Random bytes grow under compression; stored as they are, a batch never
// exceeds what the caller bounded by Size.
func TestIncompressibleStaysAsItIs(t *testing.T) {
	value := make([]byte, 10_000)
	rng := rand.New(rand.NewPCG(6, 7))
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	for _, records := range [][]Record{{{Value: value}}, {{Value: value[:1]}}, {{}}} {
		for _, c := range codecs {
			h, err := Check(build(c, records))
			if err != nil || h.Codec != None || h.Size != h.PayloadSize+HeaderSize {
				t.Fatalf("%s: %+v, %v", c, h, err)
			}
		}
	}
}

func TestLargestBatch(t *testing.T) {
	value := bytes.Repeat([]byte("0123456789abcdef"), 1<<10)
	record := Record{Value: value, Timestamp: 1}
	var b Builder
	var d Decoder
	for _, c := range codecs {
		b.Reset()
		for b.Size()+RecordSize(&record) <= MaxSize {
			b.Append(&record)
		}
		last := Record{Value: make([]byte, MaxSize-b.Size()-5), Timestamp: 1} // its other fields take 3 bytes, its length 2
		b.Append(&last)
		if b.Size() != MaxSize {
			t.Fatalf("size %d, want %d", b.Size(), MaxSize)
		}
		b.Compress(c)
		h, got, err := decode(&d, b.Seal(1, 1))
		if err != nil || h.Codec != c || len(got) != b.Len() || !bytes.Equal(got[len(got)-1].Value, last.Value) {
			t.Fatalf("%s: %v", c, err)
		}
		for i := range got[:len(got)-1] {
			if !bytes.Equal(got[i].Value, value) {
				t.Fatalf("%s: record %d differs", c, i)
			}
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	var b Builder
	records := plain()
	n := 0
	for i := range records {
		n += RecordSize(&records[i])
	}
	b.Grow(n)
	got := testing.AllocsPerRun(100, func() {
		b.Reset()
		for i := range records {
			b.Append(&records[i])
		}
		b.Seal(1, 1)
	})
	if got != 0 {
		t.Fatalf("%v allocations for %d records", got, len(records))
	}
}

// All compressions share their scratch buffers and zstd's workers.
func TestConcurrentCompression(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			var b Builder
			var d Decoder
			records := random(rand.New(rand.NewPCG(8, uint64(g))), 100)
			for _, c := range append(codecs, codecs...) {
				b.Reset()
				for i := range records {
					b.Append(&records[i])
				}
				b.Compress(c)
				if _, got, err := decode(&d, b.Seal(1, 1)); err != nil || !reflect.DeepEqual(got, records) {
					t.Errorf("%s: records differ, %v", c, err)
				}
			}
		})
	}
	wg.Wait()
}

// Channels made in one synctest bubble panic in the next, and zstd makes some
// when it is first used.
func TestZstdInBubbles(t *testing.T) {
	e, d := newZstdEncoder(1), newZstdDecoder(1)
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			text := []byte("text")
			got, err := d.DecodeAll(e.EncodeAll(text, nil), make([]byte, 0, len(text)))
			if err != nil || !bytes.Equal(got, text) {
				t.Fatalf("%q, %v", got, err)
			}
		})
	}
}
