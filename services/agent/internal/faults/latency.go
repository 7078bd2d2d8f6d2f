package faults

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Latency is how long an operation takes to reach the store: lognormal, which
// fits the published figures of S3 and DynamoDB well. P50 of 0 is none at all;
// without a P99 above P50, it is P50 always.
type Latency struct {
	P50, P99 time.Duration
}

// z99 is the 99th percentile of the normal distribution.
const z99 = 2.3263478740408408

func (l Latency) sample(r *rand.Rand) time.Duration {
	if l.P50 <= 0 || l.P99 <= l.P50 {
		return max(l.P50, 0)
	}
	sigma := math.Log(float64(l.P99)/float64(l.P50)) / z99
	return time.Duration(float64(l.P50) * math.Exp(sigma*r.NormFloat64()))
}

// String is what ParseLatency reads.
func (l Latency) String() string {
	switch {
	case l.P50 <= 0:
		return "0"
	case l.P99 <= l.P50:
		return l.P50.String()
	default:
		return l.P50.String() + "/" + l.P99.String()
	}
}

// ParseLatency reads "60ms/200ms" (P50 and P99), "60ms" (always) or "0"
// (none).
func ParseLatency(text string) (Latency, error) {
	p50, p99, both := strings.Cut(text, "/")
	var l Latency
	var err error
	if l.P50, err = parseDuration(p50); err != nil {
		return Latency{}, fmt.Errorf("parse the latency %q: %w", text, err)
	}
	if !both {
		return l, nil
	}
	if l.P99, err = parseDuration(p99); err != nil {
		return Latency{}, fmt.Errorf("parse the latency %q: %w", text, err)
	}
	if l.P99 < l.P50 || l.P50 == 0 && l.P99 > 0 {
		return Latency{}, fmt.Errorf("parse the latency %q: give a median above 0, and a 99th percentile not below it, as in 60ms/200ms", text)
	}
	return l, nil
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration, give one as 60ms", text)
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is negative", text)
	}
	return d, nil
}
