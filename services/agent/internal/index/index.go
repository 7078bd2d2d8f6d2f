// Package index knows where a partition's committed records lie: which range
// of offsets stands in which bytes of which segment. Only what is committed is
// ever in it, so whoever reads through it reads committed records only (R9).
package index

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
)

// ErrOutOfRange is returned for an offset below the start or above the end.
var ErrOutOfRange = errors.New("offset out of range")

// Segment is one object, shared by all ranges that lie in it.
type Segment struct {
	Key  string
	Size int64
}

// Range is a run of records that lies in one piece.
type Range struct {
	Base    uint64
	Records uint32
	// At and Size are the bytes of Segment that hold the batches.
	At, Size uint32
	Segment  *Segment
	// State says that the segment's footer carries the producers' state.
	State bool
}

// End is the offset behind the range's last record.
func (r *Range) End() uint64 { return r.Base + uint64(r.Records) }

// Log is the index of one partition. It is safe for concurrent use.
type Log struct {
	mu     sync.Mutex
	start  uint64
	end    uint64
	ranges []Range // sorted by Base, without gaps from start on
	// changed is closed and replaced when end rises; nil while nobody waits.
	changed chan struct{}
	closed  error
}

// New indexes a partition that can be read from start on and ends at end.
// Ranges are sorted.
func New(start, end uint64, ranges []Range) *Log {
	return &Log{start: start, end: end, ranges: ranges}
}

// Append adds what was committed last. Ranges come in order, without gaps.
func (l *Log) Append(r Range) {
	l.mu.Lock()
	l.ranges = append(l.ranges, r)
	l.end = r.End()
	changed := l.changed
	l.changed = nil
	l.mu.Unlock()
	if changed != nil {
		close(changed)
	}
}

// Bounds returns the first offset that can be read and the one that the next
// record will get.
func (l *Log) Bounds() (start, end uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start, l.end
}

// Find returns the ranges that hold the records from offset on, up to about
// maxBytes, at least one unless offset is the end. The result is a copy.
func (l *Log) Find(offset uint64, maxBytes int) ([]Range, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset < l.start || offset > l.end {
		return nil, fmt.Errorf("offset %d: %w: the log has %d to %d", offset, ErrOutOfRange, l.start, l.end)
	}
	first := sort.Search(len(l.ranges), func(i int) bool { return l.ranges[i].End() > offset })
	last, bytes := first, 0
	for last < len(l.ranges) && (last == first || bytes+int(l.ranges[last].Size) <= maxBytes) {
		bytes += int(l.ranges[last].Size)
		last++
	}
	return append([]Range(nil), l.ranges[first:last]...), nil
}

// Before returns the range that holds the record before offset, if there is one.
func (l *Log) Before(offset uint64) (Range, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.ranges), func(i int) bool { return l.ranges[i].End() >= offset })
	if i == len(l.ranges) || l.ranges[i].Base >= offset {
		return Range{}, false
	}
	return l.ranges[i], true
}

// Wait returns nil when there is a record at offset, or the reason why there
// will be none here: ctx's error, or what Close said.
func (l *Log) Wait(ctx context.Context, offset uint64) error {
	for {
		changed, err := l.watch(offset)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watch returns a channel that is closed at the next change, or nil when there
// is nothing to wait for.
func (l *Log) watch(offset uint64) (<-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end > offset || l.closed != nil {
		return nil, l.closed
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed, nil
}

// Close ends every Wait, present and later, with err. What is committed can
// still be read.
func (l *Log) Close(err error) {
	l.mu.Lock()
	if l.closed == nil {
		l.closed = err
	}
	changed := l.changed
	l.changed = nil
	l.mu.Unlock()
	if changed != nil {
		close(changed)
	}
}
