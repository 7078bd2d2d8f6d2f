// Package reader reads committed batches: from the newest segments while they
// are in memory, from a cache of what was read before, or from the store.
package reader

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

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
	shared  singleflight.Group

	life context.Context // ends with Close
	end  context.CancelCauseFunc
	mu   sync.Mutex // nothing is added to gets once life has ended
	gets sync.WaitGroup
}

// New reads from objects and keeps up to cacheBytes in memory, half of it for
// the newest segments, half for what was read from the store. The Reader must
// be closed before the store is.
func New(objects objstore.Store, cacheBytes int64) *Reader {
	r := &Reader{objects: objects, recent: newRecent(cacheBytes / 2), ranges: newRanges(cacheBytes / 2)}
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
// not change them.
func (r *Reader) Read(ctx context.Context, g index.Range) ([]byte, error) {
	if b := r.recent.read(g.Segment.Key, int64(g.At), int64(g.Size)); b != nil {
		return b, nil
	}
	id := rangeID{key: g.Segment.Key, at: g.At, size: g.Size}
	if b := r.ranges.get(id); b != nil {
		return b, nil
	}
	return r.fetch(ctx, id)
}

// Forget drops a range that was found damaged: the bytes may have been whole in
// the store.
func (r *Reader) Forget(g index.Range) {
	r.ranges.remove(rangeID{key: g.Segment.Key, at: g.At, size: g.Size})
}

// fetched is what came of a read from the store.
type fetched struct {
	b   []byte
	err error
}

// fetch reads from the store, once for all who ask at the same time.
func (r *Reader) fetch(ctx context.Context, id rangeID) ([]byte, error) {
	result := make(chan fetched, 1)
	r.mu.Lock()
	if r.life.Err() != nil {
		r.mu.Unlock()
		return nil, errClosed
	}
	r.gets.Go(func() {
		b, err, _ := r.shared.Do(id.String(), func() (any, error) { return r.get(id) })
		if err != nil {
			result <- fetched{err: err}
			return
		}
		result <- fetched{b: b.([]byte)} //nolint:forcetypeassert // get returned it
	})
	r.mu.Unlock()
	select {
	case f := <-result:
		return f.b, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (r *Reader) get(id rangeID) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.life, getTimeout)
	defer cancel()
	b, err := r.objects.Get(ctx, id.key, int64(id.at), int64(id.size))
	if err != nil {
		return nil, fmt.Errorf("read segment %s: %w", id.key, err)
	}
	r.ranges.put(id, b)
	return b, nil
}

// rangeID names bytes of an object; objects never change.
type rangeID struct {
	key      string
	at, size uint32
}

func (id rangeID) String() string { return fmt.Sprintf("%s@%d+%d", id.key, id.at, id.size) }
