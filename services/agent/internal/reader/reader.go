// Package reader reads committed batches: from the newest segments while they
// are in memory, from a cache of what was read before, or from the store.
package reader

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// getTimeout bounds one read from the store. It does not run under the context
// of the request that began it, since others may wait for the same bytes.
const getTimeout = 30 * time.Second

// errClosed is returned by reads after Close.
var errClosed = errors.New("the session's reader is closed")

// Reader reads ranges of segments. It is safe for concurrent use.
type Reader struct {
	objects objstore.Store
	recent  *recent
	ranges  *ranges
	life    context.Context // ends with Close
	end     context.CancelCauseFunc
	mu      sync.Mutex // nothing is added to what follows once life has ended
	flying  map[rangeID]*flight
	gets    sync.WaitGroup
}

// New reads from objects and keeps up to cacheBytes in memory, half of it for
// the newest segments, half for what was read from the store. The Reader must
// be closed before the store is.
func New(objects objstore.Store, cacheBytes int64) *Reader {
	r := &Reader{objects: objects, recent: newRecent(cacheBytes / 2), ranges: newRanges(cacheBytes / 2), flying: map[rangeID]*flight{}}
	r.life, r.end = context.WithCancelCause(context.Background())
	return r
}

// Close ends the reads from the store that are under way, also those that
// nobody waits for any more, and returns when they have ended.
func (r *Reader) Close() {
	r.mu.Lock()
	r.end(errClosed)
	r.mu.Unlock()
	r.gets.Wait()
}

// Add remembers a segment that was just committed; see flush.Recent.
func (r *Reader) Add(key string, parts [][]byte, memory int64, release func()) {
	r.recent.add(key, parts, memory, release)
}

// Read returns the batches of a range, one after the other. The caller must
// not change them. A read from an offset inside of the range goes on with what
// was begun before: that does not count as asking again.
func (r *Reader) Read(ctx context.Context, g index.Range, offset uint64) ([]byte, error) {
	if b := r.recent.read(g.Segment.Key, int64(g.At), int64(g.Size)); b != nil {
		return b, nil
	}
	id := idOf(g)
	if b := r.ranges.get(id, offset > g.Base); b != nil {
		return b, nil
	}
	f, err := r.await(ctx, id)
	if err != nil && f != nil && f.shared && ctx.Err() == nil {
		f, err = r.await(ctx, id) // what was wrong may be another's range
	}
	if err != nil {
		return nil, err
	}
	return f.b, nil
}

// Holds tells whether a range is in memory: then reading it waits for nothing,
// unless it is dropped before.
func (r *Reader) Holds(g index.Range) bool {
	return r.recent.has(g.Segment.Key) || r.ranges.has(idOf(g))
}

func (r *Reader) await(ctx context.Context, id rangeID) (*flight, error) {
	f, err := r.join(id)
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f, f.err
	case <-ctx.Done():
		return f, context.Cause(ctx)
	}
}

// Forget drops a range that was found damaged: the bytes may have been whole in
// the store.
func (r *Reader) Forget(g index.Range) { r.ranges.remove(idOf(g)) }

// rangeID names bytes of an object; objects never change.
type rangeID struct {
	key      string
	at, size uint32
}

func idOf(g index.Range) rangeID { return rangeID{key: g.Segment.Key, at: g.At, size: g.Size} }
