package stats

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts since the process started. It is safe for concurrent use, and
// its zero value is ready.
type Stats struct {
	Records, Batches, Bytes    atomic.Uint64 // appended and committed
	Segments, SegmentBytes     atomic.Uint64 // committed
	Puts, Gets, Lists, Deletes atomic.Uint64 // of objects
	RowReads, RowWrites        atomic.Uint64
	// What DynamoDB bills: a unit is 1 KB written, or 4 KB read consistently.
	// Other stores count a unit for each request.
	ReadUnits, WriteUnits Units
	// Requests that failed, and of them those that were told to slow down.
	PutErrors, CommitErrors, ReadErrors, WriteErrors, Throttled atomic.Uint64

	// Partitions that became this agent's, from nobody or from a dead session, and
	// those that it gave up in good order.
	Acquired, TakenOver, HandedOver atomic.Uint64

	PutLatency, CommitLatency, AckLatency Latency
	BatchSize, SegmentSize                Histogram
	Background

	// Refusals counts what producers and readers were refused, by reason.
	Refusals Labelled
}

// Acknowledged implements flush.Counters.
func (s *Stats) Acknowledged(after time.Duration, bytes uint64) {
	s.AckLatency.Observe(after)
	s.BatchSize.Observe(bytes)
}

// Errors lists the requests that failed by kind.
func (s *Stats) Errors() map[string]uint64 {
	return map[string]uint64{
		"put": s.PutErrors.Load(), "commit": s.CommitErrors.Load(), "read": s.ReadErrors.Load(), "write": s.WriteErrors.Load(),
	}
}

func (s *Stats) count(counts bool, n *atomic.Uint64) {
	if counts {
		n.Add(1)
	}
}

// Units are capacity units, of which DynamoDB also bills halves.
type Units struct{ halves atomic.Uint64 }

// Add adds units.
func (u *Units) Add(units float64) { u.halves.Add(uint64(math.Round(2 * units))) }

// Load returns their sum.
func (u *Units) Load() float64 { return float64(u.halves.Load()) / 2 }

// Labelled are counters by a label that has few values. It is safe for
// concurrent use, and its zero value is ready.
type Labelled struct{ byLabel sync.Map }

// Inc counts one up.
func (l *Labelled) Inc(label string) {
	n, ok := l.byLabel.Load(label)
	if !ok {
		n, _ = l.byLabel.LoadOrStore(label, &atomic.Uint64{})
	}
	if n, ok := n.(*atomic.Uint64); ok {
		n.Add(1)
	}
}

// Load copies the counters.
func (l *Labelled) Load() map[string]uint64 {
	all := map[string]uint64{}
	l.byLabel.Range(func(label, n any) bool {
		all[label.(string)] = n.(*atomic.Uint64).Load()
		return true
	})
	return all
}

// Committed implements flush.Counters.
func (s *Stats) Committed(records, batches, bytes, segment uint64) {
	s.Records.Add(records)
	s.Batches.Add(batches)
	s.Bytes.Add(bytes)
	s.Segments.Add(1)
	s.SegmentBytes.Add(segment)
	s.SegmentSize.Observe(segment)
}

// Requests lists the requests to the stores by kind.
func (s *Stats) Requests() map[string]uint64 {
	return map[string]uint64{
		"put": s.Puts.Load(), "get": s.Gets.Load(), "list": s.Lists.Load(), "delete": s.Deletes.Load(),
		"read": s.RowReads.Load(), "write": s.RowWrites.Load(),
	}
}

// LeaseAcquired implements host.Counters.
func (s *Stats) LeaseAcquired(takenOver bool) {
	s.count(!takenOver, &s.Acquired)
	s.count(takenOver, &s.TakenOver)
}

// LeasesReleased implements host.Counters.
func (s *Stats) LeasesReleased(n int) { s.HandedOver.Add(uint64(n)) }

// LeaseMoves lists the partitions that changed owners by how they did.
func (s *Stats) LeaseMoves() map[string]uint64 {
	return map[string]uint64{"acquired": s.Acquired.Load(), "taken_over": s.TakenOver.Load(), "handed_over": s.HandedOver.Load()}
}
