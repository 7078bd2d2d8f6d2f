package producer_test

import (
	"crypto/tls"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// Nonsense fails at start, with a sentence that names the option.
func TestNewChecksItsOptions(t *testing.T) {
	policy := func(change func(*producer.RetryPolicy)) producer.Option {
		r := producer.DefaultRetryPolicy()
		change(&r)
		return producer.WithRetryPolicy(r)
	}
	for _, c := range []struct {
		says string
		opt  producer.Option
	}{
		{"WithBatchRecords is 0: it must be from 1 to", producer.WithBatchRecords(0)},
		{"WithBatchBytes is 15728641: it must be from 1 to 15728640", producer.WithBatchBytes(15<<20 + 1)},
		{"WithMaxBufferedRecords is -1", producer.WithMaxBufferedRecords(-1)},
		{"WithMaxBufferedRecords (50) is below WithBatchRecords (100)", producer.WithMaxBufferedRecords(50)},
		{"WithMaxBufferedBytes (1000) is below WithBatchBytes (1048576)", producer.WithMaxBufferedBytes(1000)},
		{"WithConnections is 0", producer.WithConnections(0)},
		{"WithMaxInFlight is 129: it must be from 1 to 128", producer.WithMaxInFlight(129)},
		{"WithMaxInFlightBytes is 0", producer.WithMaxInFlightBytes(0)},
		{"WithLinger is -1s", producer.WithLinger(-time.Second)},
		{"WithLinger (2m0s) must be below WithDeliveryTimeout (2m0s)", producer.WithLinger(2 * time.Minute)},
		{"WithDeliveryTimeout is 0s: it must be positive", producer.WithDeliveryTimeout(0)},
		{"WithRequestTimeout is 0s", producer.WithRequestTimeout(0)},
		{"WithMetadataMaxAge is 0s: it must be at least 1s", producer.WithMetadataMaxAge(0)},
		{"WithBatchRecords is 0: it must be from 1 to", producer.WithBatchPolicy(producer.BatchPolicy{})},
		{"WithDialTimeout is 0s", producer.WithDialTimeout(0)},
		{"WithCompression: codec 9 is unknown", producer.WithCompression(9)},
		{"WithPartitioner is nil", producer.WithPartitioner(nil)},
		{"WithTLS is nil", producer.WithTLS(nil)},
		{"WithLogger is nil", producer.WithLogger(nil)},
		{"WithServerName has no effect without WithTLS", producer.WithServerName("agents.internal")},
		{"CircuitBreakerPolicy.Failures must be at least 1", producer.WithCircuitBreaker(producer.CircuitBreakerPolicy{OpenFor: time.Second})},
		{"CircuitBreakerPolicy.OpenFor must be positive", producer.WithCircuitBreaker(producer.CircuitBreakerPolicy{Failures: 1})},
		{"MaxRetries is negative", policy(func(r *producer.RetryPolicy) { r.MaxRetries = -1 })},
		{"InitialBackoff must be positive", producer.WithRetryPolicy(producer.RetryPolicy{})},
		{"Multiplier must be at least 1", policy(func(r *producer.RetryPolicy) { r.Multiplier = math.NaN() })},
		{"MaxBackoff must not be below InitialBackoff", policy(func(r *producer.RetryPolicy) { r.MaxBackoff = 1 })},
		{"Jitter must be from 0 to 1", policy(func(r *producer.RetryPolicy) { r.Jitter = 1.1 })},
	} {
		_, err := producer.New(t.Context(), "localhost:1", c.opt)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want %q", err, c.says)
		}
	}
	_, err := producer.New(t.Context(), "localhost:1", producer.WithBatchRecords(0), producer.WithDialTimeout(0))
	if err == nil || !strings.Contains(err.Error(), "WithBatchRecords") || !strings.Contains(err.Error(), "WithDialTimeout") {
		t.Errorf("not all that is wrong is told: %v", err)
	}
}

func TestNewChecksTheTarget(t *testing.T) {
	for _, target := range []string{"", "localhost:1,", ",", "localhost:1,nosuchscheme://%zz", "unix:relative\x00path", "nosuchscheme://%zz"} {
		if p, err := producer.New(t.Context(), target); err == nil {
			t.Errorf("%q was taken", target)
			_ = p.Close(t.Context())
		}
	}
	// Nobody listens there, and nobody has to.
	p, err := producer.New(t.Context(), "127.0.0.1:1", producer.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13}))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBackoff(t *testing.T) {
	r := producer.DefaultRetryPolicy()
	for retry, want := range map[int]time.Duration{
		0: 100 * time.Millisecond, 1: 200 * time.Millisecond, 4: 1600 * time.Millisecond,
		5: 3200 * time.Millisecond, 8: 25600 * time.Millisecond, 9: 30 * time.Second, 100_000: 30 * time.Second,
	} {
		if got := r.Backoff(retry); got != want {
			t.Errorf("retry %d waits %v, want %v", retry, got, want)
		}
	}
}

// Jitter shortens waits and never takes them above the cap.
func TestJitterStaysBelowTheCap(t *testing.T) {
	r := producer.DefaultRetryPolicy()
	shortest, longest := time.Hour, time.Duration(0)
	for range 10_000 {
		wait := producer.Jittered(r, r.Backoff(20))
		shortest, longest = min(shortest, wait), max(longest, wait)
	}
	if longest > r.MaxBackoff || shortest < 24*time.Second || longest-shortest < 5*time.Second {
		t.Fatalf("waits from %v to %v, want them spread over 24s to 30s", shortest, longest)
	}
}
