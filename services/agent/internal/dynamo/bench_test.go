package dynamo_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
)

// BenchmarkCreate is what a commit costs this process, of which a server that
// does nothing is a part: subtract what BenchmarkHTTP says.
func BenchmarkCreate(b *testing.B) {
	s := open(b, config(nullServer(b)), dynamo.Options{TablePrefix: "bench"})
	row := commit(0, 256*24)
	measure(b, func() {
		row.Seq++
		if err := s.Create(b.Context(), row); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkHTTP sends as many bytes without the SDK.
func BenchmarkHTTP(b *testing.B) {
	url := nullServer(b)
	body := make([]byte, 256*24*4/3+900)
	measure(b, func() {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	})
}

func measure(b *testing.B, do func()) {
	b.Helper()
	do()
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		do()
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-us/op")
}

func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func nullServer(b *testing.B) string {
	b.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = io.WriteString(w, `{"ConsumedCapacity":{"CapacityUnits":7.0,"TableName":"bench-journal"}}`)
	}))
	b.Cleanup(s.Close)
	return s.URL
}
