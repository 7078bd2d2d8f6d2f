package reader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// content is what the n-th object holds.
func content(n, size int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// cut splits b into parts of random length, some of them empty.
func cut(r *rand.Rand, b []byte) (parts [][]byte) {
	for len(b) > 0 {
		n := min(len(b), r.IntN(40))
		parts = append(parts, b[:n])
		b = b[n:]
	}
	return parts
}

func at(key string, from, size int) index.Range {
	return index.Range{At: uint32(from), Size: uint32(size), Segment: &index.Segment{Key: key}}
}

// Any range of a segment that is still in memory comes back exactly, however
// its pieces lie, and costs no request.
func TestRecentRanges(t *testing.T) {
	for seed := range 50 {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		want := content(seed, 1+r.IntN(1000))
		reader := New(memory.NewObjects(), 1<<20)
		reader.Add("a", cut(r, want), int64(len(want)), func() { t.Error("released") })
		for range 300 {
			from := r.IntN(len(want))
			size := 1 + r.IntN(len(want)-from)
			got, err := reader.Read(t.Context(), at("a", from, size), 0)
			if err != nil || !bytes.Equal(got, want[from:from+size]) {
				t.Fatalf("seed %d: %d bytes from %d of %d: %v", seed, size, from, len(want), err)
			}
		}
		if _, err := reader.Read(t.Context(), at("b", 0, 1), 0); !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("another key: %v", err)
		}
		reader.Close()
	}
}

// The newest segments stay, as many as the limit allows, and each one that
// goes is released once.
func TestRecentBounds(t *testing.T) {
	const limit, size = 1000, 130
	c := newRecent(limit)
	var released [50]int
	for n := range released {
		c.add(fmt.Sprint(n), [][]byte{content(n, 10)}, size, func() { released[n]++ })
		if c.memory > limit || len(c.byKey) != len(c.queue) {
			t.Fatalf("%d bytes in %d segments, %d in the queue", c.memory, len(c.byKey), len(c.queue))
		}
	}
	for n, times := range released {
		want := 1
		if n >= 50-limit/size {
			want = 0
		}
		if times != want || (c.read(fmt.Sprint(n), 0, 10) != nil) != (want == 0) {
			t.Errorf("segment %d was released %d times", n, times)
		}
	}
	large := 0
	c.add("large", [][]byte{{1}}, limit+1, func() { large++ })
	if large != 1 || c.memory != 0 || len(c.byKey) != 0 {
		t.Errorf("one above the limit was released %d times; %d bytes are kept", large, c.memory)
	}
}

// A segment that is evicted while it is read is released when the last of its
// readers is done: its buffer belongs to the next flush from then on. The
// releases here overwrite the bytes, and the race detector watches.
func TestReleaseWaitsForReaders(t *testing.T) {
	c := newRecent(3000)
	var group sync.WaitGroup
	var newest atomic.Int64
	stop := make(chan struct{})
	var releases atomic.Int64
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := int(newest.Load())
				if got := c.read(fmt.Sprint(n), 0, 1000); got != nil && !bytes.Equal(got, content(n, 1000)) {
					t.Errorf("segment %d was overwritten while it was read", n)
				}
			}
		})
	}
	const segments = 1000
	for n := range segments {
		b := content(n, 1000)
		once := false
		c.add(fmt.Sprint(n), [][]byte{b[:400], b[400:]}, 1000, func() {
			if once {
				t.Errorf("segment %d is released twice", n)
			}
			once = true
			clear(b)
			releases.Add(1)
		})
		newest.Store(int64(n))
	}
	close(stop)
	group.Wait()
	if got := releases.Load(); got != segments-3 {
		t.Errorf("%d of %d were released, and 3 fit", got, segments)
	}
}

// stored is a Reader over a slow store that holds n objects of 1000 bytes.
func stored(t *testing.T, n int, cache int64, plan faults.Plan) (*Reader, *faults.Injector) {
	t.Helper()
	objects := memory.NewObjects()
	for i := range n {
		b := content(i, 1000)
		body := objstore.Body{Parts: [][]byte{b}, Size: 1000, CRC32C: segment.Update(0, b)}
		if err := objects.Put(t.Context(), fmt.Sprint(i), body); err != nil {
			t.Fatal(err)
		}
	}
	injector := faults.New(plan)
	reader := New(injector.Objects(objects), cache)
	t.Cleanup(reader.Close)
	return reader, injector
}

func mustRead(t *testing.T, r *Reader, n int) {
	t.Helper()
	got, err := r.Read(t.Context(), at(fmt.Sprint(n), 100, 500), 0)
	if err != nil || !bytes.Equal(got, content(n, 1000)[100:600]) {
		t.Fatalf("object %d: %v", n, err)
	}
}

// Many that ask for one range at a time cost one request, each gets the bytes,
// and one that loses patience takes nothing from the others.
func TestSharedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, injector := stored(t, 2, 1<<20, faults.Plan{Get: faults.Latency{P50: time.Second}})
		var group sync.WaitGroup
		ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, errors.New("no patience"))
		defer cancel()
		group.Go(func() { // it comes first, and goes first
			began := time.Now()
			if _, err := r.Read(ctx, at("0", 100, 500), 0); !errors.Is(err, context.Cause(ctx)) || time.Since(began) != 500*time.Millisecond {
				t.Errorf("cancelled after %v with %v", time.Since(began), err)
			}
		})
		synctest.Wait()
		for range 20 {
			group.Go(func() { mustRead(t, r, 0) })
		}
		group.Wait()
		if n := injector.Ops()[faults.Get]; n != 1 {
			t.Errorf("%d requests for one range", n)
		}
	})
}

// A read that fails is not remembered.
func TestFailedRead(t *testing.T) {
	r, _ := stored(t, 1, 1<<20, faults.Plan{Rules: []faults.Rule{{Op: faults.Get, Kind: faults.ErrBefore}}})
	if _, err := r.Read(t.Context(), at("0", 100, 500), 0); !errors.Is(err, faults.ErrInjected) {
		t.Errorf("read with %v", err)
	}
	mustRead(t, r, 0)
}

// A store that hangs ends a read in the end, also for those who would wait.
func TestReadTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := stored(t, 1, 1<<20, faults.Plan{Rules: []faults.Rule{{Op: faults.Get, Kind: faults.Pause, Pause: time.Hour}}})
		began := time.Now()
		if _, err := r.Read(t.Context(), at("0", 100, 500), 0); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != getTimeout {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		mustRead(t, r, 0)
	})
}

// Close ends what is under way, waits for it, and lets nothing begin.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, injector := stored(t, 1, 1<<20, faults.Plan{Get: faults.Latency{P50: time.Minute}})
		ended := make(chan error, 1)
		go func() {
			_, err := r.Read(t.Context(), at("0", 100, 500), 0)
			ended <- err
		}()
		synctest.Wait()
		began := time.Now()
		r.Close()
		if err := <-ended; err == nil || time.Since(began) != 0 {
			t.Errorf("ended after %v with %v", time.Since(began), err)
		}
		if _, err := r.Read(t.Context(), at("0", 100, 500), 0); !errors.Is(err, errClosed) {
			t.Errorf("afterwards: %v", err)
		}
		if n := injector.Ops()[faults.Get]; n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}
