package stats

import (
	"sync/atomic"
	"time"
)

// Background counts the work that nobody waits for.
type Background struct {
	MergedObjects, MergedBytes, MergedRecords atomic.Uint64
	// MergeReads counts the requests that merges read with.
	MergeReads atomic.Uint64
	// RetainedBytes and RetainedRecords are what retention let go.
	RetainedBytes, RetainedRecords atomic.Uint64

	backlogBytes atomic.Int64
	backlogAge   atomic.Int64

	// RemovedRows, RemovedObjects and RemovedBytes, of objects, count clean-up.
	RemovedRows, RemovedObjects, RemovedBytes atomic.Uint64

	removable, removableBytes, removableAge atomic.Int64
}

// Removed implements host.Removals.
func (b *Background) Removed(rows, objects int, bytes int64) {
	b.RemovedRows.Add(uint64(rows))
	b.RemovedObjects.Add(uint64(objects))
	b.RemovedBytes.Add(uint64(bytes))
}

// Removable implements host.Removals.
func (b *Background) Removable(number int, bytes int64, oldest time.Duration) {
	b.removable.Store(int64(number))
	b.removableBytes.Store(bytes)
	b.removableAge.Store(int64(oldest))
}

// Leftover is what can be removed and was not yet: rows and objects, their bytes,
// and for how long the oldest was seen.
func (b *Background) Leftover() (number, bytes int64, age time.Duration) {
	return b.removable.Load(), b.removableBytes.Load(), time.Duration(b.removableAge.Load())
}

// Merged implements compaction.Counters.
func (b *Background) Merged(bytes, records, gets uint64) {
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
