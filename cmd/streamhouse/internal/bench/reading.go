package bench

import (
	"context"
	"fmt"
	"runtime/metrics"
	"time"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/cpu"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// reading is the state of client and agent at one moment.
type reading struct {
	at        time.Time
	acked     uint64
	clientCPU time.Duration
	allocs    uint64
	agent     *streamhousev1.GetStatsResponse
}

// read asks the agent first: what takes longest should not lie between the
// clock and the count.
func read(ctx context.Context, agent streamhousev1.AgentServiceClient, senders []*sender) (reading, error) {
	stats, err := agent.GetStats(ctx, &streamhousev1.GetStatsRequest{})
	if err != nil {
		return reading{}, fmt.Errorf("read the agent's figures: %w", err)
	}
	r := reading{at: time.Now(), clientCPU: cpu.Used(), allocs: allocations(), agent: stats}
	for _, s := range senders {
		r.acked += s.acked.Load()
	}
	return r, nil
}

// allocations counts this process's heap objects so far, the tiny ones that
// share a block as well.
func allocations() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}
