package rpc

import (
	"context"

	"golang.org/x/sync/semaphore"

	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
)

// How many bytes reads under way hold together: those that wait for a store, and
// those of what is in memory already.
const (
	storedRoom   = 48 << 20
	inMemoryRoom = 16 << 20
)

// rooms bound what reads hold. Reading the tail of a log never waits for those who
// read its past, or another log's.
type rooms struct{ stored, inMemory *semaphore.Weighted }

func newRooms() rooms {
	return rooms{stored: semaphore.NewWeighted(storedRoom), inMemory: semaphore.NewWeighted(inMemoryRoom)}
}

// enter waits for room to read ranges, up to maxBytes or the first of them, which
// is read as a whole. leave gives it back.
func (r rooms) enter(ctx context.Context, h *host.Host, ranges []index.Range, maxBytes int) (leave func(), err error) {
	if len(ranges) == 0 {
		return func() {}, nil
	}
	room, most := r.inMemory, int64(inMemoryRoom)
	for i := range ranges {
		if !h.Reader.Holds(ranges[i]) {
			room, most = r.stored, storedRoom
			break
		}
	}
	bytes := min(max(int64(maxBytes), int64(ranges[0].Size)), most)
	if err := room.Acquire(ctx, bytes); err != nil {
		return nil, err
	}
	return func() { room.Release(bytes) }, nil
}
