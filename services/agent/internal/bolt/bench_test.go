package bolt_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// BenchmarkCreate measures what a commit costs on the disk of TMPDIR, alone
// and beside others: a lone writer must not wait for company.
func BenchmarkCreate(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "meta.db"))
			defer s.Close()
			took := make([]time.Duration, b.N)
			var next atomic.Int64
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for seq := uint64(0); ; seq++ {
						i := int(next.Add(1)) - 1
						if i >= b.N {
							return
						}
						row := &meta.Entry{Session: fmt.Sprint("session", w), Seq: seq, Segments: []meta.Segment{{Commits: make([]byte, 16*24)}}}
						start := time.Now()
						if err := s.Create(b.Context(), row); err != nil {
							b.Error(err)
							return
						}
						took[i] = time.Since(start)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
