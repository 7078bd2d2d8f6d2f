package aws

import (
	"os"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// Answers of AWS that are no success.
const (
	slowDown  = `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`
	internal  = `<Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message></Error>`
	throttled = `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate of requests exceeds the allowed throughput."}`
	broken    = `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"Internal server error"}`
)

// wire is what goes wrong on the way to S3 and DynamoDB, every so many requests.
func wire() map[string][]process.Rule {
	const ms = int64(time.Millisecond)
	return map[string][]process.Rule{
		"answers lost after the effect": {
			{Operation: "PUT", Every: 5, Kind: "drop"},
			{Operation: "PutItem", First: 3, Every: 5, Kind: "drop"},
			{Operation: "GET", Every: 3, Kind: "drop"},
			{Operation: "Query", First: 2, Every: 7, Kind: "drop"},
		},
		"answers cut in the middle": {
			{Operation: "PutItem", First: 2, Every: 4, Kind: "cut"},
			{Operation: "GET", Every: 2, Kind: "cut"},
			{Operation: "Query", Every: 5, Kind: "cut"},
			{Operation: "Scan", Every: 5, Kind: "cut"},
		},
		"requests lost": {
			{Operation: "PUT", First: 2, Every: 4, Kind: "lose"},
			{Operation: "PutItem", Every: 6, Kind: "lose"},
			{Operation: "Query", First: 3, Every: 6, Kind: "lose"},
		},
		"500, before and after the effect": {
			{Operation: "PUT", Every: 6, Kind: "refuse", Status: 500, Body: internal},
			{Operation: "PUT", First: 3, Every: 6, Kind: "spoil", Status: 500, Body: internal},
			{Operation: "PutItem", First: 2, Every: 6, Kind: "refuse", Status: 500, Body: broken},
			{Operation: "PutItem", First: 5, Every: 6, Kind: "spoil", Status: 500, Body: broken},
			{Operation: "GetItem", First: 2, Every: 3, Kind: "refuse", Status: 500, Body: broken},
		},
		"503 and throttling": {
			{Operation: "PUT", First: 4, Every: 25, Kind: "refuse", Status: 503, Body: slowDown},
			{Operation: "GET", Every: 3, Kind: "refuse", Status: 503, Body: slowDown},
			{Operation: "PutItem", Every: 8, Times: 2, Kind: "refuse", Status: 400, Body: throttled},
			{Operation: "Query", Every: 9, Kind: "refuse", Status: 400, Body: throttled},
		},
		"late and slow": {
			{Operation: "PutItem", First: 4, Every: 9, Kind: "late", Delay: 60 * ms},
			{Operation: "PutItem", First: 7, Every: 9, Kind: "slow", Delay: 120 * ms},
			{Operation: "PUT", First: 3, Every: 7, Kind: "late", Delay: 200 * ms},
			{Operation: "PUT", First: 6, Every: 7, Kind: "slow", Delay: 250 * ms},
			{Operation: "Query", Every: 8, Kind: "slow", Delay: 80 * ms},
		},
	}
}

// An agent starts although nothing that it writes arrives at first, for longer than
// one call tries again.
func TestStartOnBadWire(t *testing.T) {
	t.Parallel()
	if os.Getenv(envEndpoint) != "" {
		t.Skip("only the stand-in makes faults; this test runs against it in 'task test'")
	}
	s := process.StartStandin(t)
	cfg := newStore(t, s.Endpoint)
	s.SetFaults(t, process.Rule{Operation: "PUT", Times: 5, Kind: "lose"})
	a := process.NewAgent(t, "", flags(cfg, "first")...)
	a.Start()
	if fired := s.Faults(t); fired != 5 {
		t.Errorf("%d requests were lost, want 5", fired)
	}
}

// TestWireFaults tells the story of TestAgents while every so many requests or
// answers go wrong on the wire, between the SDK and the server: what was
// acknowledged is there exactly once, and nothing that was sent fails.
func TestWireFaults(t *testing.T) {
	t.Parallel()
	if os.Getenv(envEndpoint) != "" {
		t.Skip("only the stand-in makes faults; this test runs against it in 'task test'")
	}
	for name, rules := range wire() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := process.StartStandin(t)
			cfg := newStore(t, s.Endpoint)
			first, second := process.NewAgent(t, "", flags(cfg, "first")...), process.NewAgent(t, "", flags(cfg, "second")...)
			s.SetFaults(t, rules...)
			first.Start()
			live(t, first, second)
			fired := s.Faults(t)
			s.SetFaults(t)
			t.Logf("%d faults", fired)
			if fired < 30 {
				t.Errorf("only %d faults: the story proves nothing", fired)
			}
		})
	}
}
