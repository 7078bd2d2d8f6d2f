package stats

import "sync/atomic"

// Stats counts since the process started. It is safe for concurrent use, and
// its zero value is ready.
type Stats struct {
	Records, Batches, Bytes    atomic.Uint64 // appended and committed
	Segments, SegmentBytes     atomic.Uint64 // committed
	Puts, Gets, Lists, Deletes atomic.Uint64 // of objects
	RowReads, RowWrites        atomic.Uint64
	PutLatency, CommitLatency  Latency
}

// Committed implements flush.Counters.
func (s *Stats) Committed(records, batches, bytes, segment uint64) {
	s.Records.Add(records)
	s.Batches.Add(batches)
	s.Bytes.Add(bytes)
	s.Segments.Add(1)
	s.SegmentBytes.Add(segment)
}

// Requests lists the requests to the stores by kind.
func (s *Stats) Requests() map[string]uint64 {
	return map[string]uint64{
		"put": s.Puts.Load(), "get": s.Gets.Load(), "list": s.Lists.Load(), "delete": s.Deletes.Load(),
		"read": s.RowReads.Load(), "write": s.RowWrites.Load(),
	}
}
