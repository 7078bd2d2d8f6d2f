package segment

import (
	"fmt"
	"testing"

	"github.com/streamhouse/streamhouse/proto/batch"
)

func BenchmarkAppendFooter(b *testing.B) {
	for _, c := range []struct{ sections, batches int }{{16, 25}, {256, 1}} {
		b.Run(fmt.Sprintf("%dx%d", c.sections, c.batches), func(b *testing.B) {
			f := busyFooter(c.sections, c.batches)
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendFooter(dst[:0], f)
			}
			b.ReportMetric(float64(len(dst)), "bytes")
		})
	}
}

func BenchmarkParseFooter(b *testing.B) {
	footer := AppendFooter(nil, busyFooter(16, 25))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseFooter(footer); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	object, _ := example(b)
	b.SetBytes(int64(len(object)))
	for b.Loop() {
		if _, err := Verify(object); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCombine(b *testing.B) {
	for _, n := range []int64{10_240, 123_456, 5_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			crc := uint32(1)
			for b.Loop() {
				crc = Combine(crc, 0x12345678, n)
			}
		})
	}
}

func BenchmarkBatchCRC(b *testing.B) {
	first := make([]byte, batch.ChecksumFrom)
	for b.Loop() {
		BatchCRC(first, 0x12345678, 123_456)
	}
}
