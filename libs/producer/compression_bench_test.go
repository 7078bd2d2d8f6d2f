package producer_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/batch"
)

// logLines are JSON logs as services write them: few shapes, many numbers.
func logLines(n int) [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	paths := []string{"/api/v1/orders", "/api/v1/orders/%d", "/api/v1/users/%d/cart", "/healthz", "/api/v2/search"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lines := make([][]byte, n)
	for i := range lines {
		at = at.Add(time.Duration(rng.IntN(5e6)))
		path := paths[rng.IntN(len(paths))]
		if path[len(path)-1] == 'd' || len(path) > 20 {
			path = fmt.Sprintf(path, rng.IntN(100_000))
		}
		lines[i] = fmt.Appendf(nil, `{"time":%q,"level":"info","service":"checkout","host":"ip-10-0-%d-%d","trace_id":"%016x%016x","method":"GET","path":%q,"status":%d,"duration_ms":%.3f,"bytes":%d,"user_agent":"Mozilla/5.0 (X11; Linux x86_64)"}`,
			at.Format(time.RFC3339Nano), rng.IntN(4), rng.IntN(256), rng.Uint64(), rng.Uint64(), path, []int{200, 200, 200, 201, 404, 500}[rng.IntN(6)], rng.ExpFloat64()*20, rng.IntN(50_000))
	}
	return lines
}

func noise(n, size int) [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([][]byte, n)
	for i := range values {
		values[i] = make([]byte, size)
		for j := range values[i] {
			values[i][j] = byte(rng.Uint32())
		}
	}
	return values
}

// BenchmarkCompression is what the default codec was chosen by. ms/MiB is of
// CPU, and of what goes in; ratio is in to out.
func BenchmarkCompression(b *testing.B) {
	inputs := []struct {
		name   string
		values func(n int) [][]byte
	}{
		{"json", logLines},
		{"random", func(n int) [][]byte { return noise(n, 300) }},
	}
	for _, in := range inputs {
		for _, n := range []int{100, 1000} {
			for _, codec := range []producer.Codec{producer.NoCompression, producer.S2, producer.LZ4, producer.Zstd} {
				b.Run(fmt.Sprintf("%s/batch%d/%v", in.name, n, codec), func(b *testing.B) {
					compress(b, codec, in.values(n))
				})
			}
		}
	}
}

func compress(b *testing.B, codec producer.Codec, values [][]byte) {
	b.Helper()
	var builder batch.Builder
	size, out := 0, 0
	build := func(c producer.Codec) {
		builder.Reset()
		for _, v := range values {
			builder.Append(&batch.Record{Value: v})
		}
		size = builder.Size()
		builder.Compress(c)
		out = len(builder.Seal(1, 1))
	}
	for b.Loop() {
		build(codec)
	}
	b.SetBytes(int64(size))
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N)/float64(size)*(1<<20), "ms/MiB")
	b.ReportMetric(float64(size)/float64(out), "ratio")
}
