package cli

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The keys are a promise to scripts; the bounds are loose, but a figure in
// another unit, or one that was never measured, would fall outside of them.
func TestBenchJSON(t *testing.T) {
	t.Setenv(asProgram, "1")
	t.Setenv("TMPDIR", t.TempDir())
	profile := filepath.Join(t.TempDir(), "cpu.out")
	r := runWith(t.Context(), strings.NewReader(""), "bench", "--duration", "400ms", "--warmup", "100ms", "--partitions", "4",
		"--store-latency", "5ms/9ms,2ms/4ms", "--output", "json", "--cpuprofile", profile)
	if r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatal(err)
	}
	for key, limits := range map[string][2]float64{
		"records_per_second": {1000, 1e8}, "mib_per_second": {0.1, 1e4},
		"ack_p50_ms": {6, 5000}, "ack_p99_ms": {7, 5000}, "ack_max_ms": {7, 5000},
		"cpu_seconds_per_million": {0.02, 50}, "client_cpu_seconds_per_million": {0.01, 50}, "agent_cpu_seconds_per_million": {0.01, 50},
		"client_allocs_per_record": {0, 2}, "agent_allocs_per_record": {0, 2}, "agent_rss_mib": {5, 2000},
		"raw_tcp_records_per_second": {10_000, 1e9}, "raw_tcp_cpu_seconds_per_million": {0.001, 10},
		"put_p50_ms": {4, 1000}, "put_p99_ms": {5, 1000}, "commit_p50_ms": {1.5, 1000}, "commit_p99_ms": {1.5, 1000},
		"records": {1000, 1e9}, "seconds": {0.4, 5}, "segments_per_second": {1, 1000}, "latency_samples": {10, 1e9},
	} {
		value, ok := got[key].(float64)
		if !ok || value < limits[0] || value > limits[1] {
			t.Errorf("%s is %v, want %v to %v", key, got[key], limits[0], limits[1])
		}
	}
	if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
		t.Errorf("profile: %v", err)
	}
	checkEmpty(t, os.Getenv("TMPDIR"))
}

func TestBenchTextOnFiles(t *testing.T) {
	t.Setenv(asProgram, "1")
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("STREAMHOUSE_STORE", "memory") // meant for the user's own agents
	r := runWith(t.Context(), strings.NewReader(""), "bench", "--duration", "300ms", "--warmup", "100ms",
		"--partitions", "1", "--batch", "100", "--in-flight", "16", "--flush-rate", "0", "--store", "files", "--producers", "2", "--rate", "50000")
	if r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{"batches of 100, 1 partitions, 16 in flight, files store", "of raw TCP", "per million records", "p99", "MiB at its peak"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s", want, r.out)
		}
	}
	checkEmpty(t, os.Getenv("TMPDIR"))
}

// An agent that cannot start must be told with its own words.
func TestBenchTellsWhyTheAgentFailed(t *testing.T) {
	t.Setenv(asProgram, "1")
	r := runWith(t.Context(), strings.NewReader(""), "bench", "--duration", "10ms", "--agent-setting", "flush-concurrency=0.5")
	if r.code != exitFailed || !strings.Contains(r.err, "flush-concurrency") {
		t.Errorf("%+v", r)
	}
}

// An interruption leaves no process and no folder behind.
func TestInterruptedBenchCleansUp(t *testing.T) {
	t.Setenv(asProgram, "1")
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	messages, in := io.Pipe()
	done := make(chan int)
	go func() {
		args := []string{"bench", "--store", "files", "--duration", "1h"}
		done <- Run(ctx, args, Streams{In: strings.NewReader(""), Out: io.Discard, Err: in})
	}()
	for line := ""; line != "measuring for 1h0m0s"; {
		line = readLine(t, messages)
	}
	cancel()
	if line := readLine(t, messages); line != "Interrupted." {
		t.Errorf("said %q", line)
	}
	if code := <-done; code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	checkEmpty(t, os.Getenv("TMPDIR"))
}
