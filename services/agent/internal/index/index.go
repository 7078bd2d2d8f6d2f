// Package index knows where a partition's committed records lie: which range
// of offsets stands in which bytes of which segment. Only what is committed is
// ever in it, so whoever reads through it reads committed records only (R9).
package index

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// ErrOutOfRange is returned for an offset below the start or above the end.
var ErrOutOfRange = errors.New("offset out of range")

// Segment is one object, shared by all ranges that lie in it.
type Segment struct {
	Key  string
	Size int64
	// Session and Seq say which row of which journal commits it; none commits what
	// a compaction wrote.
	Session string
	Seq     uint64
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
	// MaxTimestamp is the latest of the records', in ms since the epoch;
	// UnknownTimestamp where only the batches tell.
	MaxTimestamp int64
}

// UnknownTimestamp may be any.
const UnknownTimestamp = math.MaxInt64

// End is the offset behind the range's last record.
func (r *Range) End() uint64 { return r.Base + uint64(r.Records) }

// Log is the index of one partition. What is above its checkpoint is in memory;
// the rest is read when it is needed. It is safe for concurrent use.
type Log struct {
	topic, partition uint32
	older            *Rows

	mu         sync.Mutex
	start      uint64
	checkpoint meta.Checkpoint
	end        uint64
	ranges     []Range   // sorted by Base, without gaps from the checkpoint on
	bytes      int64     // of ranges
	since      time.Time // when the first of ranges came, or an earlier time
	// changed is closed and replaced when end rises; nil while nobody waits.
	changed chan struct{}
	closed  error
}

// New indexes a partition of which nothing was merged yet: it can be read from
// start on and ends at end. Ranges are sorted.
func New(start, end uint64, ranges []Range) *Log {
	return Open(&meta.Partition{LogStart: start}, nil, end, ranges, 0)
}

// Open indexes a partition as its row says, which ends at end. Ranges are those
// above the checkpoint, sorted, which are taken to have waited for so long to be
// merged; older finds what is below.
func Open(row *meta.Partition, older *Rows, end uint64, ranges []Range, waited time.Duration) *Log {
	l := &Log{
		topic: row.Topic, partition: row.Partition, older: older,
		start: row.LogStart, checkpoint: row.Checkpoint, end: end, ranges: ranges, since: time.Now().Add(-waited),
	}
	for i := range ranges {
		l.bytes += int64(ranges[i].Size)
	}
	return l
}

// Append adds what was committed last. Ranges come in order, without gaps.
func (l *Log) Append(r Range) {
	l.mu.Lock()
	if len(l.ranges) == 0 {
		l.since = time.Now()
	}
	l.ranges = append(l.ranges, r)
	l.bytes += int64(r.Size)
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
func (l *Log) Find(ctx context.Context, offset uint64, maxBytes int) ([]Range, error) {
	var found []Range
	for bytes := 0; ; {
		more, last, err := l.next(ctx, offset)
		if err != nil {
			if len(found) > 0 {
				return found, nil // what is known serves; the next call reports it
			}
			return nil, err
		}
		for _, r := range more {
			if len(found) > 0 && bytes+int(r.Size) > maxBytes {
				return found, nil
			}
			found = append(found, r)
			bytes += int(r.Size)
			offset = r.End()
		}
		if last {
			return found, nil
		}
	}
}

// next returns ranges from the one that holds an offset on, which nobody
// changes, and whether they reach to the end.
func (l *Log) next(ctx context.Context, offset uint64) (_ []Range, last bool, err error) {
	l.mu.Lock()
	if offset < l.start || offset > l.end {
		defer l.mu.Unlock()
		return nil, false, fmt.Errorf("offset %d: %w: the log has %d to %d", offset, ErrOutOfRange, l.start, l.end)
	}
	checkpoint := l.checkpoint // whose compactions nobody changes
	if offset >= checkpoint.End {
		defer l.mu.Unlock()
		first := sort.Search(len(l.ranges), func(i int) bool { return l.ranges[i].End() > offset })
		return l.ranges[first:len(l.ranges):len(l.ranges)], true, nil
	}
	l.mu.Unlock()
	found, err := l.older.find(ctx, l.topic, l.partition, &checkpoint, offset)
	return found, false, err
}

// Before returns the range that holds the record before offset, if there is one.
func (l *Log) Before(ctx context.Context, offset uint64) (Range, bool) {
	if offset == 0 {
		return Range{}, false
	}
	found, _, err := l.next(ctx, offset-1)
	if err != nil || len(found) == 0 {
		return Range{}, false
	}
	return found[0], true
}

// Tail is what no compaction has merged yet.
type Tail struct {
	// Ranges must not be changed.
	Ranges []Range
	Bytes  int64
	// Since is when the oldest of it came, on this machine's clock, or an earlier
	// time.
	Since time.Time
	// Checkpoint is where it begins.
	Checkpoint meta.Checkpoint
}

// Tail returns what is above the checkpoint.
func (l *Log) Tail() Tail {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Tail{Ranges: slices.Clip(l.ranges), Bytes: l.bytes, Since: l.since, Checkpoint: l.checkpoint}
}

// Advance notes that the partition's row has another checkpoint or log start:
// what they cover leaves memory.
func (l *Log) Advance(row *meta.Partition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start = max(l.start, row.LogStart)
	if row.Checkpoint.End < l.checkpoint.End {
		return
	}
	l.checkpoint = row.Checkpoint
	first := sort.Search(len(l.ranges), func(i int) bool { return l.ranges[i].End() > l.checkpoint.End })
	if first == 0 {
		return
	}
	l.ranges = append([]Range(nil), l.ranges[first:]...)
	l.bytes, l.since = 0, time.Now() // the rest came while this was merged
	for i := range l.ranges {
		l.bytes += int64(l.ranges[i].Size)
	}
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
