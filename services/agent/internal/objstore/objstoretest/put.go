package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

var putChecks = []check{
	{"PutExisting", putExisting},
	{"PutTinyParts", putTinyParts},
	{"PutEmpty", putEmpty},
	{"PutLarge", putLarge},
	{"PutKeepsNothingOfTheBody", putKeepsNothing},
	{"PutWrongChecksum", putWrongChecksum},
	{"PutWrongSize", putWrongSize},
	{"PutCancelled", putCancelled},
	{"PutRace", putRace},
	{"PutBesideOthers", putBesideOthers},
}

// An existing object is never replaced: a hedged PUT or a key that was drawn
// twice would otherwise change what a committed row names.
func putExisting(t *testing.T, s objstore.Store) {
	mustPut(t, s, "a/1", []byte("first"))
	err := s.Put(t.Context(), "a/1", Body([]byte("second")))
	if !errors.Is(err, objstore.ErrExists) {
		t.Fatalf("second put: got %v, want ErrExists", err)
	}
	wantObject(t, s, "a/1", []byte("first"))
	wantList(t, s, "", map[string]int64{"a/1": 5})
}

// A segment of many small batches is many small parts; some may be empty.
// They stand on both sides of the sizes at which a backend groups its writes.
func putTinyParts(t *testing.T, s objstore.Store) {
	whole := content(1, 700_000)
	var parts [][]byte
	for rest, n := whole, 0; len(rest) > 0; n = (n + 1) % 8 {
		size := min(n, len(rest))
		parts = append(parts, rest[:size])
		rest = rest[size:]
	}
	parts = append(parts, nil, []byte{})
	mustPut(t, s, "tiny", parts...)
	wantObject(t, s, "tiny", whole)
}

func putEmpty(t *testing.T, s objstore.Store) {
	mustPut(t, s, "none")
	mustPut(t, s, "nil", nil, nil)
	for _, key := range []string{"none", "nil"} {
		wantObject(t, s, key, nil)
	}
	wantList(t, s, "n", map[string]int64{"none": 0, "nil": 0})
}

func putLarge(t *testing.T, s objstore.Store) {
	whole := content(2, 8<<20)
	parts := slices.Collect(slices.Chunk(whole, 1<<20+1))
	parts = append([][]byte{{}}, parts...)
	mustPut(t, s, "large", parts...)
	wantObject(t, s, "large", whole)
	got, err := s.Get(t.Context(), "large", 5<<20, 4096)
	if err != nil || !bytes.Equal(got, whole[5<<20:5<<20+4096]) {
		t.Fatalf("range of a large object: %d bytes, %v", len(got), err)
	}
}

// The caller recycles its buffers as soon as Put has returned.
func putKeepsNothing(t *testing.T, s objstore.Store) {
	part := []byte("recycled")
	mustPut(t, s, "k", part)
	copy(part, "XXXXXXXX")
	wantObject(t, s, "k", []byte("recycled"))
}

// A byte that turned over between the codec and the store is caught before the
// batch is acknowledged, not when somebody reads it.
func putWrongChecksum(t *testing.T, s objstore.Store) {
	body := Body(content(3, 300_000))
	body.CRC32C ^= 1
	wantRefused(t, s, body)
}

func putWrongSize(t *testing.T, s objstore.Store) {
	for _, wrong := range []int64{-1, 1} {
		body := Body(content(4, 300_000))
		body.Size += wrong
		wantRefused(t, s, body)
	}
}

func wantRefused(t *testing.T, s objstore.Store, body objstore.Body) {
	t.Helper()
	if err := s.Put(t.Context(), "bad", body); err == nil {
		t.Fatal("put of a body that does not match its size and checksum: got no error")
	}
	if _, err := s.Get(t.Context(), "bad", 0, -1); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatalf("get of a refused body: got %v, want ErrNotFound", err)
	}
	wantList(t, s, "", map[string]int64{})
}

// A cancelled Put fails with the context's error, and what it leaves is
// nothing or the whole object.
func putCancelled(t *testing.T, s objstore.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	whole := content(5, 300_000)
	if err := s.Put(ctx, "k", Body(whole)); !errors.Is(err, context.Canceled) {
		t.Fatalf("put: got %v, want context.Canceled", err)
	}
	got, err := s.Get(t.Context(), "k", 0, -1)
	if !errors.Is(err, objstore.ErrNotFound) && (err != nil || !bytes.Equal(got, whole)) {
		t.Fatalf("get after a cancelled put: %d bytes, %v", len(got), err)
	}
}

// Of many concurrent Puts under one key exactly one wins, and the object is
// the winner's, whole.
func putRace(t *testing.T, s objstore.Store) {
	const writers, rounds = 8, 5
	for round := range rounds {
		key := fmt.Sprintf("race/%d", round)
		var wg sync.WaitGroup
		var wins atomic.Int64
		var winner atomic.Uint64
		for w := range writers {
			wg.Go(func() {
				seed := uint64(100 + w)
				err := s.Put(t.Context(), key, Body(content(seed, 100_000+w)))
				switch {
				case err == nil:
					wins.Add(1)
					winner.Store(seed)
				case !errors.Is(err, objstore.ErrExists):
					t.Errorf("put: got %v, want nil or ErrExists", err)
				}
			})
		}
		wg.Wait()
		if n := wins.Load(); n != 1 {
			t.Fatalf("%d puts of %d succeeded, want 1", n, writers)
		}
		seed := winner.Load()
		wantObject(t, s, key, content(seed, 100_000+int(seed-100)))
	}
}

// Many goroutines put, get, list and delete different objects at once, as an
// agent's flushes, readers and compaction do.
func putBesideOthers(t *testing.T, s objstore.Store) {
	const workers, objects = 8, 10
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { useStore(t, s, w, objects) })
	}
	wg.Wait()
	want := map[string]int64{}
	for w := range workers {
		for i := 1; i < objects; i += 2 {
			want[fmt.Sprintf("w%d/%d", w, i)] = int64(1000 * i)
		}
	}
	wantList(t, s, "", want)
}

// useStore leaves every second object of a worker in place.
func useStore(t *testing.T, s objstore.Store, worker, objects int) {
	t.Helper()
	for i := range objects {
		key := fmt.Sprintf("w%d/%d", worker, i)
		want := content(uint64(worker*objects+i), 1000*i)
		if err := s.Put(t.Context(), key, Body(want)); err != nil {
			t.Errorf("put %q: %v", key, err)
			return
		}
		got, err := s.Get(t.Context(), key, 0, -1)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("get %q: %d bytes, %v", key, len(got), err)
		}
		for _, err := range s.List(t.Context(), fmt.Sprintf("w%d/", worker)) {
			if err != nil {
				t.Errorf("list: %v", err)
			}
		}
		if i%2 == 0 {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Errorf("delete %q: %v", key, err)
			}
		}
	}
}
