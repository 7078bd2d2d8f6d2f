package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"testing"

	"github.com/streamhouse/streamhouse/proto/batch"
)

func wrapsSentinel(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooNew) }

// An upload that was cut off, or a ranged GET that came back short, must never
// look like a segment.
func TestTruncated(t *testing.T) {
	object, _ := example(t)
	footer := footerOf(t, object)
	for n := range object {
		if _, err := Verify(object[:n]); !wrapsSentinel(err) {
			t.Fatalf("first %d of %d bytes: %v", n, len(object), err)
		}
		if _, err := Verify(object[n+1:]); !wrapsSentinel(err) {
			t.Fatalf("without the first %d bytes: %v", n+1, err)
		}
	}
	for n := range footer {
		if _, err := ParseFooter(footer[:n]); !wrapsSentinel(err) {
			t.Fatalf("first %d of %d bytes of the footer: %v", n, len(footer), err)
		}
		if _, err := ParseFooter(footer[n+1:]); !wrapsSentinel(err) {
			t.Fatalf("footer without its first %d bytes: %v", n+1, err)
		}
	}
	if _, err := ParseFooter(object); !wrapsSentinel(err) {
		t.Fatalf("whole object as a footer: %v", err)
	}
	if _, err := Verify(append(bytes.Clone(object), object...)); !wrapsSentinel(err) {
		t.Fatalf("twice the object: %v", err)
	}
}

func TestBitFlips(t *testing.T) {
	object, _ := example(t)
	footer := bytes.Clone(footerOf(t, object))
	for bit := range len(object) * 8 {
		object[bit/8] ^= 1 << (bit % 8)
		if _, err := Verify(object); !wrapsSentinel(err) {
			t.Fatalf("bit %d of byte %d of %d: %v", bit%8, bit/8, len(object), err)
		}
		object[bit/8] ^= 1 << (bit % 8)
	}
	for bit := range len(footer) * 8 {
		footer[bit/8] ^= 1 << (bit % 8)
		if _, err := ParseFooter(footer); !wrapsSentinel(err) {
			t.Fatalf("bit %d of byte %d of the footer: %v", bit%8, bit/8, err)
		}
		footer[bit/8] ^= 1 << (bit % 8)
	}
}

// seal returns body as a footer, with a trailer that fits.
func seal(body []byte) []byte { return appendTrailer(bytes.Clone(body), 0, 0) }

// The CRC is no defence against a writer with a bug, so what is under a CRC
// that fits must not panic either, nor be read as more than it is.
func TestDamageUnderValidCRC(t *testing.T) {
	object, _ := example(t)
	footer := footerOf(t, object)
	body := bytes.Clone(footer[:len(footer)-TrailerSize])
	for n := range body {
		if _, err := ParseFooter(seal(body[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("first %d bytes: %v", n, err)
		}
	}
	if _, err := ParseFooter(seal(append(bytes.Clone(body), 0))); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("a byte left over: %v", err)
	}
	at := len(object) - len(footer)
	for bit := range len(body) * 8 {
		body[bit/8] ^= 1 << (bit % 8)
		// Most flips describe other batches, and Verify compares them with
		// what is there. Only seq, places and states are the footer's alone.
		f, err := Verify(append(bytes.Clone(object[:at]), seal(body)...))
		if err == nil {
			checkSums(t, f, at-HeaderSize)
		} else if !wrapsSentinel(err) {
			t.Fatalf("bit %d: %v", bit, err)
		}
		body[bit/8] ^= 1 << (bit % 8)
	}
}

func checkSums(t *testing.T, f *Footer, want int) {
	t.Helper()
	got := 0
	for _, s := range f.Sections {
		var size, records uint32
		for _, b := range s.Batches {
			size += b.Size
			records += b.Records
		}
		if s.Size != size || s.Records != records {
			t.Fatalf("section of %d bytes, %d records, and its batches have %d, %d", s.Size, s.Records, size, records)
		}
		got += int(size)
	}
	if got != want {
		t.Fatalf("sections of %d bytes, and %d stand in the object", got, want)
	}
}

func uvarints(v ...uint64) []byte {
	var b []byte
	for _, v := range v {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// Counts that a footer has no room for must be refused before memory is
// allocated by them.
func TestHostileCounts(t *testing.T) {
	crc := []byte{1, 2, 3, 4}
	same := []byte{0, 0, 0} // producer, sequence, timestamp
	good := append(append(uvarints(0, 1, 1, 0, 0, 1, 100, 1), crc...), append(same, 0)...)
	if _, err := ParseFooter(seal(good)); err != nil {
		t.Fatalf("the example that the others vary: %v", err)
	}
	for name, body := range map[string][]byte{
		"sections":           uvarints(0, 1<<40, 0, 0, 0, 0, 0),
		"batches":            uvarints(0, 0, 1<<40, 0, 0, 0, 0),
		"largest counts":     uvarints(0, math.MaxUint64, math.MaxUint64),
		"counts together":    append(uvarints(0, 9000, 4000), make([]byte, 36_000)...),
		"batches of section": append(append(uvarints(0, 1, 1, 0, 0, 2, 100, 1), crc...), append(same, 0)...),
		"batches of none":    append(uvarints(0, 1, 1, 0, 0, 0, 20+1), make([]byte, 20)...),
		"state":              append(append(uvarints(0, 1, 1, 0, 0, 1, 100, 1), crc...), append(same, 200)...),
		"topic":              append(append(uvarints(0, 1, 1, 1<<32, 0, 1, 100, 1), crc...), append(same, 0)...),
		"topic wraps":        append(append(uvarints(0, 1, 1, math.MaxUint64, 0, 1, 100, 1), crc...), append(same, 0)...),
		"partition":          append(append(uvarints(0, 1, 1, 0, 1<<32, 1, 100, 1), crc...), append(same, 0)...),
		"batch size":         append(append(uvarints(0, 1, 1, 0, 0, 1, batch.MaxSize+1, 1), crc...), append(same, 0)...),
		"no records":         append(append(uvarints(0, 1, 1, 0, 0, 1, 100, 0), crc...), append(same, 0)...),
		"producer mark":      append(append(uvarints(0, 1, 1, 0, 0, 1, 100, 1), crc...), 2, 0, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			b := seal(body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := ParseFooter(b)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 16*uint64(len(b))+4096 {
				t.Fatalf("%d bytes allocated for a footer of %d", n, len(b))
			}
		})
	}
}

// A section of 4 GiB or 2^32 records would wrap the 32 bits that count it.
func TestSectionSumsDoNotWrap(t *testing.T) {
	for name, one := range map[string]Batch{
		"bytes": {Size: batch.MaxSize, Records: 1}, "records": {Size: 100, Records: batch.MaxSize},
	} {
		t.Run(name, func(t *testing.T) {
			body := uvarints(0, 1, 300, 0, 0, 300)
			var next predicted
			for range 300 {
				body = appendBatch(body, &one, &next)
			}
			if _, err := ParseFooter(seal(append(body, 0))); !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
		})
	}
}

// The footer's word about a batch is what recognises a retry, so it must be
// that of the batch itself.
func TestVerifyComparesBatches(t *testing.T) {
	for name, edit := range map[string]func(b *Batch){
		"size":      func(b *Batch) { b.Size++ },
		"records":   func(b *Batch) { b.Records++ },
		"crc":       func(b *Batch) { b.CRC++ },
		"producer":  func(b *Batch) { b.ProducerID++ },
		"sequence":  func(b *Batch) { b.Sequence++ },
		"timestamp": func(b *Batch) { b.MaxTimestamp++ },
	} {
		t.Run(name, func(t *testing.T) {
			object, f := example(t)
			object = object[:len(object)-len(footerOf(t, object))]
			edit(&f.Sections[0].Batches[1])
			if _, err := Verify(AppendFooter(object, f)); !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
		})
	}
	object, f := example(t)
	object = object[:len(object)-len(footerOf(t, object))]
	f.Sections = f.Sections[:4]
	if _, err := Verify(AppendFooter(object, f)); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("a section that the footer leaves out: %v", err)
	}
}
