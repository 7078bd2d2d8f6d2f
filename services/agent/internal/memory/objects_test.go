package memory_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
)

func TestObjects(t *testing.T) {
	t.Parallel()
	objstoretest.Run(t, func(*testing.T) objstore.Store { return memory.NewObjects() })
}

// A sink that is large enough is a store like any other.
func TestSinkKeepsTheContract(t *testing.T) {
	t.Parallel()
	objstoretest.Run(t, func(*testing.T) objstore.Store { return memory.NewSink(1 << 30) })
}

// A benchmark of ten minutes at 500 MiB/s must not fill the memory, and may
// still read what it wrote last.
func TestSinkKeepsTheNewest(t *testing.T) {
	t.Parallel()
	const size, keyBytes = 1000, 3
	s := memory.NewSink(3 * (size + keyBytes))
	for i := range 10 {
		if err := s.Put(t.Context(), fmt.Sprintf("k/%d", i), objstoretest.Body(make([]byte, size))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		got, err := s.Get(t.Context(), fmt.Sprintf("k/%d", i), 0, -1)
		if kept := i >= 7; kept && (err != nil || len(got) != size) || !kept && !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("object %d of 10: got %d bytes, %v", i, len(got), err)
		}
	}
	if n := count(t, s); n != 3 {
		t.Errorf("list shows %d objects, want 3", n)
	}
}

// Deleting makes room: what is counted must not drift from what is held.
func TestSinkCountsDeletes(t *testing.T) {
	t.Parallel()
	s := memory.NewSink(2 * 103)
	for i := range 100 {
		key := fmt.Sprintf("k%02d", i)
		if err := s.Put(t.Context(), key, objstoretest.Body(make([]byte, 100))); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Get(t.Context(), "k00", 0, -1); err != nil {
		t.Errorf("the first object, for which there was always room: %v", err)
	}
}

func TestSinkOfNothing(t *testing.T) {
	t.Parallel()
	s := memory.NewSink(0)
	for _, size := range []int{0, 1, 1 << 20} {
		if err := s.Put(t.Context(), "k", objstoretest.Body(make([]byte, size))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "k", 0, -1); !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("get of %d bytes: got %v, want ErrNotFound", size, err)
		}
	}
	body := objstoretest.Body([]byte("changed on the way"))
	body.CRC32C++
	if err := s.Put(t.Context(), "k", body); err == nil {
		t.Error("a sink that keeps nothing took a body with a wrong checksum")
	}
}

// One allocation for the content, however many parts; the few others are the
// list and map around it.
func TestPutAllocations(t *testing.T) {
	parts := make([][]byte, 1000)
	for i := range parts {
		parts[i] = make([]byte, 100)
	}
	body := objstoretest.Body(parts...)
	s := memory.NewSink(150_000)
	i := 0
	allocs := testing.AllocsPerRun(100, func() {
		i++
		if err := s.Put(t.Context(), fmt.Sprint(i), body); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 8 {
		t.Errorf("%v allocations per put of %d parts, want at most 8", allocs, len(parts))
	}
}

func count(t *testing.T, s objstore.Store) int {
	t.Helper()
	n := 0
	for _, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
