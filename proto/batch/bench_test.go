package batch

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var batch Builder
			r := Record{Value: make([]byte, size), Timestamp: 1_700_000_000_000}
			batch.Grow(256 << 10)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if batch.Size()+RecordSize(&r) > 256<<10 {
					batch.Reset()
				}
				batch.Append(&r)
			}
		})
	}
}

// logs are records of the kind that compression is for.
func logs(size int) *Builder {
	rng := rand.New(rand.NewPCG(1, 1))
	words := []string{"request", "served", "cache", "miss", "timeout", "retry", "user", "order", "payment", "shard"}
	var b Builder
	for i := 0; b.Size() < size; i++ {
		b.Append(&Record{
			Timestamp: 1_700_000_000_000 + int64(i),
			Value: fmt.Appendf(nil, `{"ts":"2026-05-04T10:%02d:%02d.%03dZ","level":"info","service":"%s","msg":"%s %s","trace":"%016x","ms":%d,"bytes":%d}`,
				i/60000%60, i/1000%60, i%1000, words[rng.IntN(10)], words[rng.IntN(10)], words[rng.IntN(10)], rng.Uint64(), rng.IntN(500), rng.IntN(100_000)),
		})
	}
	return &b
}

func BenchmarkCheck(b *testing.B) {
	stored := logs(128<<10).Seal(1, 1)
	b.SetBytes(int64(len(stored)))
	for b.Loop() {
		if _, err := Check(stored); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range codecs {
		b.Run(c.String(), func(b *testing.B) {
			source := logs(128 << 10)
			source.Compress(c)
			stored := source.Seal(1, 1)
			var d Decoder
			var r Record
			b.SetBytes(int64(source.Size()))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if _, err := d.Reset(stored); err != nil {
					b.Fatal(err)
				}
				for d.Next(&r) {
					n++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
		})
	}
}

func BenchmarkCompress(b *testing.B) {
	source := logs(128 << 10)
	for _, c := range codecs[1:] {
		b.Run(c.String(), func(b *testing.B) {
			var target Builder
			b.SetBytes(int64(source.Size()))
			b.ReportAllocs()
			for b.Loop() {
				target.buf = append(target.buf[:0], source.buf...)
				target.records, target.codec = source.records, None
				target.Compress(c)
			}
			b.ReportMetric(float64(source.Size())/float64(len(target.Seal(1, 1))), "ratio")
		})
	}
}
