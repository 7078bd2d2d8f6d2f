package segment

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/streamhouse/streamhouse/proto/batch"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func TestCombine(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	for range 500 {
		whole := data[:rng.IntN(len(data))>>rng.IntN(20)]
		at := rng.IntN(len(whole) + 1)
		a, b := checksum(whole[:at]), checksum(whole[at:])
		if got, want := Combine(a, b, int64(len(whole)-at)), checksum(whole); got != want {
			t.Fatalf("%d bytes split at %d: %08x, want %08x", len(whole), at, got, want)
		}
	}
}

// Lengths beyond what a test can hash: zeros of n bytes twice are zeros of 2n.
func TestCombineLongLengths(t *testing.T) {
	a, zeros, n := checksum([]byte("head")), checksum(make([]byte, 1<<20)), int64(1<<20)
	for n < 1<<60 {
		both := Combine(zeros, zeros, n)
		if got, want := Combine(Combine(a, zeros, n), zeros, n), Combine(a, both, 2*n); got != want {
			t.Fatalf("%d bytes: %08x, want %08x", n, got, want)
		}
		zeros, n = both, 2*n
	}
}

// The CRC that goes with a PUT must be that of the bytes, or S3 refuses them.
func TestObjectChecksum(t *testing.T) {
	object, f := example(t)
	crc, at := Update(0, object[:HeaderSize]), HeaderSize
	for _, s := range f.Sections {
		for _, b := range s.Batches {
			first := object[at : at+batch.ChecksumFrom]
			if got, want := BatchCRC(first, b.CRC, b.Size), checksum(object[at:at+int(b.Size)]); got != want {
				t.Fatalf("batch at %d: %08x, want %08x", at, got, want)
			}
			crc = Combine(crc, BatchCRC(first, b.CRC, b.Size), int64(b.Size))
			at += int(b.Size)
		}
	}
	if got, want := Update(crc, object[at:]), checksum(object); got != want {
		t.Fatalf("object: %08x, want %08x", got, want)
	}
}
