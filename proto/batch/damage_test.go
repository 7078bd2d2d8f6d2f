package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

func wrapsSentinel(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooNew) || errors.Is(err, ErrTooLarge)
}

// refused fails the test unless both ways to read a batch refuse b with one of
// the three sentinels.
func refused(t *testing.T, d *Decoder, b []byte, what string, at int) {
	t.Helper()
	if _, err := Check(b); !wrapsSentinel(err) {
		t.Fatalf("%s %d: Check says %v", what, at, err)
	}
	if h, err := d.Reset(b); !wrapsSentinel(err) || h != (Header{}) {
		t.Fatalf("%s %d: Reset says %v, %+v", what, at, err, h)
	}
	var r Record
	if d.Next(&r) || d.Err() == nil {
		t.Fatalf("%s %d: a refused batch gave a record, or no error", what, at)
	}
}

// A torn write or a short read must never look like a batch.
func TestTruncated(t *testing.T) {
	var d Decoder
	for _, c := range codecs {
		b := build(c, plain())
		for n := range b {
			refused(t, &d, b[:n], "first bytes", n)
		}
		refused(t, &d, append(bytes.Clone(b), 0), "one byte more than", len(b))
	}
}

// Any single flipped bit must be caught: in the magic by comparison, in all
// else by the CRC.
func TestBitFlips(t *testing.T) {
	var d Decoder
	for _, c := range codecs {
		b := build(c, plain())
		for bit := range len(b) * 8 {
			b[bit/8] ^= 1 << (bit % 8)
			refused(t, &d, b, "bit", bit)
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// forge returns a copy of b that edit has changed, under a CRC that fits.
func forge(b []byte, edit func(b []byte) []byte) []byte {
	b = edit(bytes.Clone(b))
	binary.LittleEndian.PutUint32(b[4:], Update(0, b[ChecksumFrom:]))
	return b
}

// A hostile producer writes the CRC that fits, so the payload's own checks
// must hold: whatever bit is wrong there, no panic and no record beyond those
// that the header counts.
func TestBitFlipsUnderValidCRC(t *testing.T) {
	var d Decoder
	for _, c := range codecs {
		b := build(c, plain())
		for bit := range (len(b) - HeaderSize) * 8 {
			bad := forge(b, func(b []byte) []byte {
				b[HeaderSize+bit/8] ^= 1 << (bit % 8)
				return b
			})
			h, records, err := decode(&d, bad)
			if err == nil && len(records) != int(h.Records) {
				t.Fatalf("%s, bit %d: %d records of %d and no error", c, bit, len(records), h.Records)
			}
			if err != nil && !wrapsSentinel(err) {
				t.Fatalf("%s, bit %d: %v", c, bit, err)
			}
		}
	}
}

func TestHeaderChecks(t *testing.T) {
	u8 := func(at int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] = v; return b }
	}
	u32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], v); return b }
	}
	u64 := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint64(b[at:], v); return b }
	}
	whole := build(None, plain())
	payload := uint32(len(whole) - HeaderSize)
	for name, test := range map[string]struct {
		edit func([]byte) []byte
		want error
	}{
		"other magic":             {u8(0, 'X'), ErrCorrupt},
		"version 0":               {u8(8, 0), ErrCorrupt},
		"version 2":               {u8(8, 2), ErrTooNew},
		"codec 4":                 {u8(9, 4), ErrTooNew},
		"first flag":              {u8(10, 1), ErrTooNew},
		"last flag":               {u8(11, 0x80), ErrTooNew},
		"larger than the limit":   {u32(12, MaxSize+1), ErrTooLarge},
		"all header":              {u32(12, HeaderSize), ErrCorrupt},
		"smaller than its header": {u32(12, 0), ErrCorrupt},
		"sizes disagree":          {u32(16, payload-1), ErrCorrupt},
		"bomb":                    {u32(16, MaxSize-HeaderSize+1), ErrTooLarge},
		"bomb of 4 GiB":           {u32(16, 1<<32-1), ErrTooLarge},
		"no records":              {u32(20, 0), ErrCorrupt},
		"too many records":        {u32(20, payload/4+1), ErrCorrupt},
		"time runs backwards":     {u64(48, 1), ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			b := forge(whole, test.edit)
			if _, err := ParseHeader(b[:HeaderSize]); !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
		})
	}
	if _, err := ParseHeader(whole[:HeaderSize]); err != nil {
		t.Fatal(err)
	}
}

// What the header says of the payload must be exactly so: fewer records would
// leave data unread, more would invent it, and another size means that the
// compressed bytes are not those of this batch.
func TestPayloadMustMatchHeader(t *testing.T) {
	var d Decoder
	for _, c := range codecs {
		for name, edit := range map[string]struct{ at, by int }{
			"one record fewer": {20, -1}, "one record more": {20, 1},
			"smaller payload": {16, -1}, "larger payload": {16, 1}, "far larger payload": {16, 1 << 20},
		} {
			b := forge(build(c, plain()), func(b []byte) []byte {
				v := int(binary.LittleEndian.Uint32(b[edit.at:]))
				binary.LittleEndian.PutUint32(b[edit.at:], uint32(v+edit.by))
				return b
			})
			if _, _, err := decode(&d, b); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, %s: %v", c, name, err)
			}
		}
		longer := forge(build(c, plain()), func(b []byte) []byte { return append(b, 0) })
		if _, err := Check(longer); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s, a byte more than its size: %v", c, err)
		}
	}
}

// zeros returns a batch whose payload of n zero bytes is compressed well below
// a thousandth, under a header that claims claim bytes.
func zeros(t *testing.T, c Codec, n, claim int) []byte {
	t.Helper()
	buf := make([]byte, s2.MaxEncodedLen(n))
	out := compress(c, buf, make([]byte, n))
	if out == nil {
		t.Fatal("zeros do not compress")
	}
	b := append(make([]byte, HeaderSize), out...)
	h := Header{Codec: c, Size: uint32(len(b)), PayloadSize: uint32(claim), Records: 1}
	h.put(b)
	return b
}

// A few kilobytes that decompress to 64 MiB must not be decompressed: the
// decoder's memory is what the header says, and that is limited.
func TestBombIsBounded(t *testing.T) {
	for _, c := range codecs[1:] {
		var d Decoder
		bomb := zeros(t, c, 64<<20, 1000)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := d.Reset(bomb); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", c, err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes allocated for a payload of 1000", c, n)
		}
	}
}

// A zstd frame can ask its decoder for a window of terabytes.
func TestZstdWindowIsBounded(t *testing.T) {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, byte(bits.Len(zstdMaxWindow)-1-10+1) << 3, 0x43, 0, 0, 'x'}
	if err := decompress(Zstd, make([]byte, 8), frame); !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Fatalf("a window of %d: %v", 2*zstdMaxWindow, err)
	}
}

// Header counts are hostile input too: 2 bytes in the batch are 40 in memory.
func TestHeaderCountIsBounded(t *testing.T) {
	var d Decoder
	most := Record{Headers: make([]RecordHeader, MaxHeaders)}
	if _, got, err := decode(&d, build(None, []Record{most})); err != nil || len(got[0].Headers) != MaxHeaders {
		t.Fatalf("%d headers: %v", MaxHeaders, err)
	}
	if RecordSize(&most) > MaxSize {
		t.Fatalf("%d headers count as larger than a batch", MaxHeaders)
	}

	more := Record{Headers: make([]RecordHeader, MaxHeaders+1)}
	if _, _, err := decode(&d, build(None, []Record{more})); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("%d headers: %v", MaxHeaders+1, err)
	}
	if RecordSize(&more) <= MaxSize {
		t.Fatalf("%d headers fit in a batch, which no decoder takes", MaxHeaders+1)
	}

	b := forge(build(None, []Record{{Value: make([]byte, 100)}}), func(b []byte) []byte {
		return append(b[:HeaderSize], 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f)
	})
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[16:], uint32(len(b)-HeaderSize))
	b = forge(b, func(b []byte) []byte { return b })
	d = Decoder{}
	if _, _, err := decode(&d, b); !errors.Is(err, ErrCorrupt) || d.headers != nil {
		t.Fatalf("4 billion headers in no bytes: %v, %d allocated", err, cap(d.headers))
	}
}
