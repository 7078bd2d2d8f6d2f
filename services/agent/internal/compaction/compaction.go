// Package compaction merges what an owner's partitions have in small segments,
// many partitions in each, into large objects, so that reading, taking over and
// keeping a log cost little. Reads and acknowledgements never wait for it.
//
// A merge goes through these steps, and may end after any of them:
//
//  1. a row (meta.Merge) notes the object's key and what will be in it,
//  2. the object is written: batches as stored, by partition,
//  3. an object with the producers' states is written,
//  4. a row of the index (meta.Run) says where each partition's records lie,
//  5. the checkpoint in the partition's row moves, by compare-and-set on its
//     version (R11), and names these rows and the states.
//
// What no checkpoint names does not count. What is left of a merge that was
// broken off is found by the row of the first step.
package compaction

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/format"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Options tune a Compactor.
type Options struct {
	// Bytes is how large objects are meant to be, and how much of one partition
	// waits at most.
	Bytes int64
	// Age is how long a record waits at most.
	Age time.Duration
	// Memory bounds the objects that are gathered at a time; one is always.
	Memory int64
	// BytesPerSecond bounds what is read, unless records wait for twice Age, or twice
	// as much waits as a round merges.
	BytesPerSecond int64
}

// Limits of what all partitions together leave to merge, and of what one round
// merges: the index keeps some 60 bytes for each range, and every batch of objects
// that is merged reads each of the small segments once.
const (
	maxRanges = 500_000
	maxBytes  = 16 // times Options.Bytes
)

// Owner is the host whose partitions are merged.
type Owner interface {
	// Tenures lists what it owns.
	Tenures() []*flush.Tenure
	// Change replaces the row of a tenure's partition by compare-and-set, after
	// change has worked on a copy, and returns once it is known to stand. Change is
	// called again on the row as it stands then, when it was written meanwhile; it
	// says whether there is something to write. ErrNotOwned when the tenure is over.
	Change(ctx context.Context, t *flush.Tenure, change func(*meta.Partition) (bool, error)) error
	// PutStates writes the states of partitions' producers as one object. Nobody
	// removes it until forget is called: then a row names it, or none ever will.
	PutStates(ctx context.Context, tenures []*flush.Tenure) (states *States, err error)
}

// States is an object that holds producers' states.
type States struct {
	Key string
	// Ends are the offsets up to which they go.
	Ends   map[flush.ID]uint64
	Forget func()
}

// ErrNotOwned is returned when a tenure is over.
var ErrNotOwned = errors.New("the partition is not owned any more")

// Counters are told what was done.
type Counters interface {
	// Merged counts an object that checkpoints name, of how many partitions, and the
	// requests that its sources took.
	Merged(bytes, records, parts, gets uint64)
	// Behind says how much waits, and for how long.
	Behind(bytes int64, age time.Duration)
	// Retained counts what retention let go.
	Retained(bytes, records uint64)
}

// Deps are what a Compactor works with.
type Deps struct {
	Session  string
	Rows     meta.Store
	Objects  objstore.Store
	Format   *format.Agreed
	Owner    Owner
	Topics   Topics
	Counters Counters
	Logger   *slog.Logger
}

// Compactor merges the partitions of one session. Run runs it, once.
type Compactor struct {
	opts    Options
	deps    Deps
	pace    pace
	number  uint64                   // of the next merge
	ids     map[*flush.Tenure]uint64 // under which the index knows what is merged
	waiting map[*flush.Tenure]waiting
	oldest  map[*flush.Tenure]oldest // what retention waits for
}

// New makes a Compactor.
func New(opts Options, deps Deps) *Compactor {
	return &Compactor{opts: opts, deps: deps, ids: map[*flush.Tenure]uint64{}, waiting: map[*flush.Tenure]waiting{}, oldest: map[*flush.Tenure]oldest{}}
}

// rounds is how many rounds there are in Options.Age, at least: there is one every
// second.
const rounds = 5

// Run merges until ctx ends.
func (c *Compactor) Run(ctx context.Context) {
	timer := time.NewTimer(c.interval())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		c.round(ctx)
		timer.Reset(c.interval())
	}
}

func (c *Compactor) interval() time.Duration {
	return min(time.Second, max(c.opts.Age/rounds, time.Millisecond))
}

// round merges what is due, and lets go what need not be kept.
func (c *Compactor) round(ctx context.Context) {
	tenures := c.deps.Owner.Tenures()
	c.forget(tenures)
	batches := c.plan(tenures, time.Now())
	for i, batch := range batches {
		if ctx.Err() != nil {
			return
		}
		batches[i] = nil // what it reads goes with it
		c.merge(ctx, batch)
	}
	if ctx.Err() == nil {
		c.retain(ctx, tenures)
	}
}

// forget drops what is known of tenures that are over.
func (c *Compactor) forget(tenures []*flush.Tenure) {
	alive := make(map[*flush.Tenure]bool, len(tenures))
	for _, t := range tenures {
		alive[t] = true
	}
	over := func(t *flush.Tenure) bool { return !alive[t] }
	maps.DeleteFunc(c.ids, func(t *flush.Tenure, _ uint64) bool { return over(t) })
	maps.DeleteFunc(c.waiting, func(t *flush.Tenure, _ waiting) bool { return over(t) })
	maps.DeleteFunc(c.oldest, func(t *flush.Tenure, _ oldest) bool { return over(t) })
}

// id is the compaction under which a tenure's rows stand. It is used by nobody
// else, and only while no row of it was left behind.
func (c *Compactor) id(t *flush.Tenure) uint64 {
	if c.ids[t] == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		c.ids[t] = max(1, binary.LittleEndian.Uint64(b[:]))
	}
	return c.ids[t]
}

// waiting keeps a partition whose merge failed from being tried in every round.
type waiting struct {
	until time.Time
	last  time.Duration
}

// failed notes that a tenure's part was not merged. Its index row may stand, or
// appear yet: nothing else may use this id.
func (c *Compactor) failed(t *flush.Tenure, err error) {
	delete(c.ids, t)
	if errors.Is(err, ErrNotOwned) {
		return
	}
	w := c.waiting[t]
	w.last = min(max(2*w.last, c.interval()), c.opts.Age)
	w.until = time.Now().Add(w.last)
	c.waiting[t] = w
	c.deps.Logger.Warn("partition not compacted, trying again",
		slog.Any("topic", t.Topic), slog.Any("partition", t.Partition), slog.Any("error", err))
}
