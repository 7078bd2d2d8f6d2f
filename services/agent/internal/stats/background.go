package stats

import (
	"sync/atomic"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/cost"
)

// Background counts the work that nobody waits for.
type Background struct {
	MergedObjects, MergedBytes, MergedRecords atomic.Uint64
	// MergedParts counts each partition that has a part of a merged object.
	MergedParts atomic.Uint64
	// MergeReads counts the requests that merges read with.
	MergeReads atomic.Uint64
	// RetainedBytes and RetainedRecords are what retention let go.
	RetainedBytes, RetainedRecords atomic.Uint64

	backlogBytes atomic.Int64
	backlogAge   atomic.Int64

	// RemovedRows, RemovedObjects and RemovedBytes, of objects, count clean-up.
	RemovedRows, RemovedObjects, RemovedBytes atomic.Uint64

	removableRows, removableBytes, removableAge atomic.Int64
}

// Removed implements host.Removals.
func (b *Background) Removed(rows, objects int, bytes int64) {
	b.RemovedRows.Add(uint64(rows))
	b.RemovedObjects.Add(uint64(objects))
	b.RemovedBytes.Add(uint64(bytes))
}

// Removable implements host.Removals.
func (b *Background) Removable(rows int, bytes int64, oldest time.Duration) {
	b.removableRows.Store(int64(rows))
	b.removableBytes.Store(bytes)
	b.removableAge.Store(int64(oldest))
}

// Leftover is what can be removed and was not yet: rows, bytes of objects, and for
// how long the oldest was seen.
func (b *Background) Leftover() (rows, bytes int64, age time.Duration) {
	return b.removableRows.Load(), b.removableBytes.Load(), time.Duration(b.removableAge.Load())
}

// Merged implements compaction.Counters.
func (b *Background) Merged(bytes, records, parts, gets uint64) {
	b.MergedParts.Add(parts)
	b.MergedObjects.Add(1)
	b.MergedBytes.Add(bytes)
	b.MergedRecords.Add(records)
	b.MergeReads.Add(gets)
}

// Retained implements compaction.Counters.
func (b *Background) Retained(bytes, records uint64) {
	b.RetainedBytes.Add(bytes)
	b.RetainedRecords.Add(records)
}

// Behind implements compaction.Counters.
func (b *Background) Behind(bytes int64, age time.Duration) {
	b.backlogBytes.Store(bytes)
	b.backlogAge.Store(int64(age))
}

// Backlog is what is not merged yet, and how long the oldest of it waits.
func (b *Background) Backlog() (bytes int64, age time.Duration) {
	return b.backlogBytes.Load(), time.Duration(b.backlogAge.Load())
}

// MergeRequests are those that merges took: an object of batches and one of states
// each, a row that notes it, and for each partition one of the index and one that
// moves the checkpoint, each of a write unit.
func (b *Background) MergeRequests() cost.Requests {
	objects, rows := b.MergedObjects.Load(), b.MergedObjects.Load()+2*b.MergedParts.Load()
	return cost.Requests{Puts: 2 * objects, Gets: b.MergeReads.Load(), RowWrites: rows, WriteUnits: float64(rows)}
}

// RemovalRequests are those that removing so many rows takes; removing objects is
// free.
func RemovalRequests(rows uint64) cost.Requests {
	return cost.Requests{RowWrites: rows, WriteUnits: float64(rows)}
}
