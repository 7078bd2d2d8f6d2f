package host

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// weighed forgets merged objects, and notes how much memory is in use when each
// is written.
type weighed struct {
	objstore.Store
	mu   sync.Mutex
	heap []uint64
}

func (w *weighed) Put(ctx context.Context, key string, b objstore.Body) error {
	if !strings.HasPrefix(key, compaction.Folder) {
		return w.Store.Put(ctx, key, b)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heap = append(w.heap, m.HeapAlloc)
	return nil
}

// However much waits, merging it takes the memory that it may have, and no more.
func TestCompactionMemory(t *testing.T) {
	const waiting, most = 64 << 20, 4 << 20
	store := &weighed{Store: memory.NewObjects()}
	w := worldOn(t, store, memory.NewRows(), 1)
	w.flush.Bytes, w.flush.BufferBytes = 1<<20, 64<<20
	r := w.start()
	for seq := range uint64(waiting / (512 << 10)) {
		var b batch.Builder
		b.Append(&batch.Record{Value: make([]byte, 512<<10), Timestamp: 1})
		raw := append([]byte(nil), b.Seal(7, seq)...)
		header, err := batch.ParseHeader(raw)
		if err != nil {
			t.Fatal(err)
		}
		mustProduce(t, r, w, &flush.Batch{Header: header, Parts: [][]byte{raw}}, seq)
	}
	r.crash() // with all of it to merge
	w.compaction = compaction.Options{Bytes: most, Age: 10 * time.Second, Memory: most}
	r = w.start()
	id := flush.ID{Topic: w.topic.ID}
	for len(r.Pipeline.Tenure(id).Index.Tail().Ranges) > most/(512<<10) {
		time.Sleep(10 * time.Millisecond)
	}
	r.crash()
	if len(store.heap) < waiting/most/2 {
		t.Fatalf("only %d objects were merged", len(store.heap))
	}
	for i, heap := range store.heap {
		if more := int64(heap) - int64(store.heap[0]); more > 4*most {
			t.Fatalf("object %d of %d is written with %d MiB more in use than the first", i, len(store.heap), more>>20)
		}
	}
}
