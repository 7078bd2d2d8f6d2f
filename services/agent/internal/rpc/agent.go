package rpc

import (
	"context"
	"time"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/cost"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

type agentServer struct {
	streamhousev1.UnimplementedAgentServiceServer
	*listening
}

// GetStats tells what the agent did since its process started.
func (s *agentServer) GetStats(context.Context, *streamhousev1.GetStatsRequest) (*streamhousev1.GetStatsResponse, error) {
	h, err := s.current()
	if err != nil {
		return nil, err
	}
	process := stats.ReadProcess()
	requests, reads, writes := s.stats.Requests(), s.stats.ReadUnits.Load(), s.stats.WriteUnits.Load()
	used, limit := h.Pipeline.Buffered()
	return &streamhousev1.GetStatsResponse{
		Session: h.Session.ID, Version: s.opts.Release, UptimeMs: uint64(time.Since(s.started).Milliseconds()),
		RecordsAppended: s.stats.Records.Load(), BatchesAppended: s.stats.Batches.Load(), BytesAppended: s.stats.Bytes.Load(),
		SegmentsCommitted: s.stats.Segments.Load(), BytesCommitted: s.stats.SegmentBytes.Load(),
		StoreRequests: requests, ReadUnits: reads, WriteUnits: writes, RequestCostUsd: s.opts.Prices.Total(cost.Count(requests, reads, writes)),
		StoreErrors: s.stats.Errors(), ThrottledRequests: s.stats.Throttled.Load(),
		BufferedBytes: uint64(used), BufferLimitBytes: uint64(limit),
		CpuSeconds: process.CPU.Seconds(), HeapAllocations: process.Allocations,
		ResidentBytes: process.Resident, PeakResidentBytes: process.PeakResident,
		PutLatency: summary(&s.stats.PutLatency), CommitLatency: summary(&s.stats.CommitLatency),
		AckLatency:   summary(&s.stats.AckLatency),
		MergeBacklog: s.mergeBacklog(), CleanupBacklog: s.cleanupBacklog(), BackgroundCostUsd: s.backgroundCost(),
	}, nil
}

func (s *agentServer) mergeBacklog() *streamhousev1.Backlog {
	bytes, age := s.stats.Backlog()
	b := &streamhousev1.Backlog{Bytes: uint64(bytes), AgeMs: uint64(age.Milliseconds())}
	if merged := s.stats.MergedBytes.Load(); merged > 0 {
		b.CostUsd = s.opts.Prices.Total(s.stats.MergeRequests()) / float64(merged) * float64(bytes)
	}
	return b
}

func (s *agentServer) cleanupBacklog() *streamhousev1.Backlog {
	rows, bytes, age := s.stats.Leftover()
	return &streamhousev1.Backlog{
		Bytes: uint64(bytes), AgeMs: uint64(age.Milliseconds()), CostUsd: s.opts.Prices.Total(stats.RemovalRequests(uint64(rows))),
	}
}

func (s *agentServer) backgroundCost() float64 {
	return s.opts.Prices.Total(s.stats.MergeRequests()) + s.opts.Prices.Total(stats.RemovalRequests(s.stats.RemovedRows.Load()))
}

func summary(l *stats.Latency) *streamhousev1.LatencySummary {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return &streamhousev1.LatencySummary{
		Count: l.Count(), P50Ms: ms(l.Quantile(0.5)), P99Ms: ms(l.Quantile(0.99)), MaxMs: ms(l.Max()),
	}
}
