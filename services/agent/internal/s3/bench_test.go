package s3_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
	"github.com/streamhouse/streamhouse/services/agent/internal/s3"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// BenchmarkPut measures what a PUT costs this process, the agent, against a
// server in another one that drops what it reads.
func BenchmarkPut(b *testing.B) {
	for _, scheme := range []string{"http", "https"} {
		cfg := nullSink(b, scheme)
		for _, c := range []struct {
			name       string
			part, size int
		}{
			{"64KiB", 1 << 10, 64 << 10},
			{"1MiB", 100 << 10, 1 << 20},
			{"4MiB,parts=100KiB", 100 << 10, 4 << 20},
			{"4MiB,parts=200B", 200, 4 << 20},
		} {
			b.Run(scheme+"/"+c.name, func(b *testing.B) {
				s := open(b, cfg, s3.Options{Bucket: "bucket", Observe: func(s3.Request) {}})
				put(b, s, objstoretest.Body(slices.Collect(slices.Chunk(make([]byte, c.size), c.part))...))
			})
		}
	}
}

// put writes four bodies at a time, as an agent's flushes do.
func put(b *testing.B, s *s3.Store, body objstore.Body) {
	b.Helper()
	var n atomic.Int64
	b.SetBytes(body.Size)
	b.SetParallelism(2)
	b.ReportAllocs()
	before := stats.ReadProcess().CPU
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Put(b.Context(), fmt.Sprintf("session/%012d", n.Add(1)), body); err != nil {
				b.Error(err)
				return
			}
		}
	})
	spent := stats.ReadProcess().CPU - before
	b.ReportMetric(spent.Seconds()*1000/(float64(body.Size)*float64(b.N)/(1<<20)), "cpu-ms/MiB")
}

// envSink makes this test program a null sink, for the scheme that it names.
const envSink = "STREAMHOUSE_TEST_S3_SINK"

// nullSink starts one, which ends when the benchmark does.
func nullSink(b *testing.B, scheme string) aws.Config {
	b.Helper()
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), envSink+"="+scheme)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // it has nothing to tell
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	cfg := config(strings.TrimSpace(url))
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // its certificate is in the other process
	})
	return cfg
}

// serveSink takes everything and keeps nothing, until standard input ends.
func serveSink(scheme string) int {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	if scheme == "https" {
		web.StartTLS()
	} else {
		web.Start()
	}
	_, _ = fmt.Fprintln(os.Stdout, web.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}
