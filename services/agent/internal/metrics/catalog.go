package metrics

import (
	"sync/atomic"

	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// Catalog lists all metrics.
func Catalog() []Metric {
	return []Metric{
		count("records_total", "Records", "Records appended.", func(s *snapshot) *atomic.Uint64 { return &s.Records }),
		count("batches_total", "Batches", "Batches appended.", func(s *snapshot) *atomic.Uint64 { return &s.Batches }),
		volume("bytes_total", "BytesIn", "Bytes of the batches appended, as stored.", func(s *snapshot) *atomic.Uint64 { return &s.Bytes }),
		count("segments_total", "Segments", "Segments committed.", func(s *snapshot) *atomic.Uint64 { return &s.Segments }),
		volume("segment_bytes_total", "SegmentBytes", "Bytes of the segments committed.", func(s *snapshot) *atomic.Uint64 { return &s.SegmentBytes }),
		duration("ack_duration_seconds", "AckLatency", "From a batch's arrival to its answer, of those that were appended.",
			func(s *stats.Stats) *stats.Histogram { return &s.AckLatency.Histogram }),
		duration("put_duration_seconds", "PutLatency", "Writes of segments that succeeded.",
			func(s *stats.Stats) *stats.Histogram { return &s.PutLatency.Histogram }),
		duration("commit_duration_seconds", "CommitLatency", "Writes of journal rows that succeeded.",
			func(s *stats.Stats) *stats.Histogram { return &s.CommitLatency.Histogram }),
		size("batch_size_bytes", "BatchSize", "Batches appended, as stored.", func(s *stats.Stats) *stats.Histogram { return &s.BatchSize }),
		size("segment_size_bytes", "SegmentSize", "Segments committed.", func(s *stats.Stats) *stats.Histogram { return &s.SegmentSize }),
		{
			Name: "refusals_total", Cloud: "Refusals", Unit: "Count", Label: "reason",
			Help:   "Batches and calls that were refused, by reason.",
			values: func(s *snapshot) map[string]float64 { return floats(s.Refusals.Load()) },
		},
		{
			Name: "store_requests_total", Cloud: "StoreRequests_%s", Unit: "Count", Label: "kind",
			Help:   "Requests to the stores: put, get, list, delete of objects, read and write of rows. One that is tried again counts again.",
			values: func(s *snapshot) map[string]float64 { return floats(s.Requests()) },
		},
		{
			Name: "store_errors_total", Cloud: "StoreErrors_%s", Unit: "Count", Label: "kind",
			Help:   "Requests to the stores that failed: put of a segment, commit of a journal row, other read and write.",
			values: func(s *snapshot) map[string]float64 { return floats(s.Errors()) },
		},
		count("throttled_requests_total", "ThrottledRequests", "Requests that S3 or DynamoDB asked to send more slowly.",
			func(s *snapshot) *atomic.Uint64 { return &s.Throttled }),
		{
			Name: "capacity_units_total", Cloud: "CapacityUnits_%s", Unit: "Count", Label: "kind",
			Help: "Capacity units that DynamoDB bills: read, of 4 KB, and write, of 1 KB.",
			values: func(s *snapshot) map[string]float64 {
				return map[string]float64{"read": s.ReadUnits.Load(), "write": s.WriteUnits.Load()}
			},
		},
		{
			Name: "request_cost_usd_total", Cloud: "RequestCost", Unit: "None",
			Help:   "What the requests to the stores cost, in US dollars, by list prices.",
			values: func(s *snapshot) map[string]float64 { return one(s.cost) },
		},
		count("merged_objects_total", "MergedObjects", "Large objects that compaction wrote and a checkpoint names.", func(s *snapshot) *atomic.Uint64 { return &s.MergedObjects }),
		volume("merged_bytes_total", "MergedBytes", "Bytes of batches that compaction merged.", func(s *snapshot) *atomic.Uint64 { return &s.MergedBytes }),
		count("merge_reads_total", "MergeReads", "Requests that compaction read segments with.", func(s *snapshot) *atomic.Uint64 { return &s.MergeReads }),
		volume("retained_bytes_total", "RetentionBytes", "Bytes of batches that retention let go.", func(s *snapshot) *atomic.Uint64 { return &s.RetainedBytes }),
		gauge("compaction_backlog_bytes", "CompactionBacklog", "Bytes", "Bytes of batches that wait to be merged.", func(s *snapshot) float64 {
			bytes, _ := s.Backlog()
			return float64(bytes)
		}),
		gauge("compaction_backlog_seconds", "CompactionBacklogAge", "Seconds", "How long the oldest of them waits.", func(s *snapshot) float64 {
			_, age := s.Backlog()
			return age.Seconds()
		}),
		count("removed_rows_total", "RemovedRows", "Rows that clean-up removed.", func(s *snapshot) *atomic.Uint64 { return &s.RemovedRows }),
		count("removed_objects_total", "RemovedObjects", "Objects that clean-up removed.", func(s *snapshot) *atomic.Uint64 { return &s.RemovedObjects }),
		volume("removed_bytes_total", "RemovedBytes", "Bytes of the objects that clean-up removed.", func(s *snapshot) *atomic.Uint64 { return &s.RemovedBytes }),
		gauge("cleanup_backlog_bytes", "CleanupBacklog", "Bytes", "Bytes of objects that can be removed and wait for it.", func(s *snapshot) float64 {
			_, bytes, _ := s.Leftover()
			return float64(bytes)
		}),
		gauge("cleanup_backlog_seconds", "CleanupBacklogAge", "Seconds", "How long the oldest of them waits, of rows as well; the grace is part of it.", func(s *snapshot) float64 {
			_, _, age := s.Leftover()
			return age.Seconds()
		}),
		{
			Name: "lease_moves_total", Cloud: "LeaseMoves_%s", Unit: "Count", Label: "kind",
			Help:   "Partitions that changed owners, as this agent did it: acquired from nobody, taken_over from a dead session, handed_over in good order.",
			values: func(s *snapshot) map[string]float64 { return floats(s.LeaseMoves()) },
		},
		gauge("buffered_bytes", "BufferedBytes", "Bytes", "Memory of batches that are not committed yet.", func(s *snapshot) float64 { return float64(s.BufferedBytes) }),
		gauge("buffer_limit_bytes", "BufferLimit", "Bytes", "Where producers are refused.", func(s *snapshot) float64 { return float64(s.BufferLimit) }),
		gauge("buffer_used_ratio", "BufferUsed", "Percent", "Buffered bytes as a share of their limit; CloudWatch gets percents.", func(s *snapshot) float64 {
			return float64(s.BufferedBytes) / max(1, float64(s.BufferLimit))
		}),
		gauge("leases", "Leases", "Count", "Partitions that this agent owns.", func(s *snapshot) float64 { return float64(s.Leases) }),
		gauge("partitions_without_owner", "PartitionsWithoutOwner", "Count", "Partitions that no agent owns, as this one saw it last.",
			func(s *snapshot) float64 { return float64(s.Unowned) }),
	}
}

func one(v float64) map[string]float64 { return map[string]float64{"": v} }

func floats(counts map[string]uint64) map[string]float64 {
	all := make(map[string]float64, len(counts))
	for label, n := range counts {
		all[label] = float64(n)
	}
	return all
}

func count(name, cloud, help string, of func(*snapshot) *atomic.Uint64) Metric {
	return Metric{
		Name: name, Cloud: cloud, Unit: "Count", Help: help,
		values: func(s *snapshot) map[string]float64 { return one(float64(of(s).Load())) },
	}
}

func volume(name, cloud, help string, of func(*snapshot) *atomic.Uint64) Metric {
	m := count(name, cloud, help, of)
	m.Unit = "Bytes"
	return m
}

func gauge(name, cloud, unit, help string, of func(*snapshot) float64) Metric {
	return Metric{
		Name: name, Cloud: cloud, Kind: Gauge, Unit: unit, Help: help,
		values: func(s *snapshot) map[string]float64 { return one(of(s)) },
	}
}

// duration is a histogram of microseconds.
func duration(name, cloud, help string, of func(*stats.Stats) *stats.Histogram) Metric {
	return Metric{
		Name: name, Cloud: cloud, Kind: Histogram, Unit: "Milliseconds", Help: help, histogram: of, scale: 1e-6, cloud: 1e-3,
		bounds: []float64{.001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .25, .3, .4, .5, .75, 1, 2.5, 5, 10, 30},
	}
}

func size(name, cloud, help string, of func(*stats.Stats) *stats.Histogram) Metric {
	m := Metric{Name: name, Cloud: cloud, Kind: Histogram, Unit: "Bytes", Help: help, histogram: of, scale: 1, cloud: 1}
	for b := 1 << 10; b <= 64<<20; b *= 4 {
		m.bounds = append(m.bounds, float64(b))
	}
	return m
}
