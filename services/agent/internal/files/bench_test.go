package files_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/files"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
)

// BenchmarkPut measures a durable Put on the disk of TMPDIR: a small segment,
// and a full one whose parts are large or tiny.
func BenchmarkPut(b *testing.B) {
	for _, c := range []struct {
		name       string
		part, size int
	}{
		{"16KiB", 1 << 10, 16 << 10},
		{"4MiB,parts=100KiB", 100 << 10, 4 << 20},
		{"4MiB,parts=200B", 200, 4 << 20},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, err := files.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			body := objstoretest.Body(slices.Collect(slices.Chunk(make([]byte, c.size), c.part))...)
			var took []time.Duration
			b.SetBytes(body.Size)
			b.ReportAllocs()
			for b.Loop() {
				key := fmt.Sprintf("%02x/%d", len(took)%16, len(took))
				start := time.Now()
				if err := s.Put(b.Context(), key, body); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
