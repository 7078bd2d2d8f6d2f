package reader

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// scan is a log of ranges of one record each, and a reader of it.
type scan struct {
	*testing.T
	*Reader
	log      *index.Log
	injector *faults.Injector
	objects  *memory.Objects
	size     int
}

// newScan has as many objects as asked for, with so many ranges of size bytes
// in each, side by side.
func newScan(t *testing.T, objects, ranges, size int, cache int64, plan faults.Plan) *scan {
	t.Helper()
	s := &scan{T: t, injector: faults.New(plan), objects: memory.NewObjects(), log: index.New(0, 0, nil), size: size}
	for n := range objects {
		var b []byte
		key := &index.Segment{Key: fmt.Sprint(n), Size: int64(ranges * size)}
		for i := range ranges {
			offset := uint64(n*ranges + i)
			s.log.Append(index.Range{Base: offset, Records: 1, At: uint32(i * size), Size: uint32(size), Segment: key})
			b = append(b, s.content(offset)...)
		}
		body := objstore.Body{Parts: [][]byte{b}, Size: int64(len(b)), CRC32C: segment.Update(0, b)}
		if err := s.objects.Put(t.Context(), key.Key, body); err != nil {
			t.Fatal(err)
		}
	}
	s.Reader = New(s.injector.Objects(s.objects), cache)
	t.Cleanup(s.Close)
	return s
}

func (s *scan) content(offset uint64) []byte { return bytes.Repeat([]byte{byte(offset), 1}, s.size/2) }

// fetch reads as rpc does, and returns the next offset.
func (s *scan) fetch(offset uint64, maxBytes int) uint64 {
	s.Helper()
	ranges, err := s.log.Find(s.Context(), offset, maxBytes)
	if err != nil {
		s.Fatal(err)
	}
	s.Ahead(s.Context(), s.log, ranges, offset, maxBytes)
	for _, g := range ranges {
		b, err := s.Read(s.Context(), g, offset)
		if err != nil || !bytes.Equal(b, s.content(g.Base)) {
			s.Fatalf("offset %d: %d bytes, %v", g.Base, len(b), err)
		}
		offset = g.End()
	}
	return offset
}

func (s *scan) all(maxBytes int) {
	s.Helper()
	_, end := s.log.Bounds()
	for offset := uint64(0); offset < end; {
		offset = s.fetch(offset, maxBytes)
	}
}

func (s *scan) gets() int { return int(s.injector.Ops()[faults.Get]) }

// Who reads a log in order, of which much lies side by side, causes a request
// for every 8 MiB, however little each fetch asks for.
func TestScanOfLargeObjects(t *testing.T) {
	for _, maxBytes := range []int{1 << 16, 1 << 20, 8 << 20} {
		synctest.Test(t, func(t *testing.T) {
			s := newScan(t, 2, 256, 128<<10, 64<<20, faults.Plan{}) // 64 MiB
			s.all(maxBytes)
			// The first fetch costs one more.
			if got := s.gets(); got > 64/8+1 {
				t.Errorf("fetches of %d bytes: %d requests for 64 MiB", maxBytes, got)
			}
		})
	}
}

// The little that is left of an object comes with what is before it, and a
// request does not reach into the next object for little.
func TestScanAtBorders(t *testing.T) {
	for ranges, want := range map[int]int{34: 3*4 + 1, 39: 3*5 + 2, 40: 3*5 + 1} { // MiB in an object, and requests for three
		for _, maxBytes := range []int{1 << 20, 8 << 20} {
			synctest.Test(t, func(t *testing.T) {
				s := newScan(t, 3, ranges, 1<<20-100, 64<<20, faults.Plan{})
				s.all(maxBytes)
				synctest.Wait()
				if got := s.gets(); got > want {
					t.Errorf("objects of %d MiB, fetches of %d bytes: %d requests, want %d", ranges, maxBytes, got, want)
				}
			})
		}
	}
}

// Small objects are a request each, never two, but many are under way at a time.
func TestScanOfSmallObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const objects = 320
		s := newScan(t, objects, 1, 1000, 64<<20, faults.Plan{Get: faults.Latency{P50: 20 * time.Millisecond}})
		began := time.Now()
		s.all(4000)
		if took, limit := time.Since(began), objects/aheadRequests*20*time.Millisecond*3; s.gets() != objects || took > limit {
			t.Errorf("%d requests in %v, want %d in %v", s.gets(), took, objects, limit)
		}
	})
}

// Who asks here and there is not read ahead for.
func TestNoReadAheadForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScan(t, 1, 50, 1000, 64<<20, faults.Plan{})
		for _, offset := range []uint64{40, 7, 23} {
			s.fetch(offset, 1)
		}
		synctest.Wait()
		if s.gets() != 3 || len(s.ranges.byID) != 3 {
			t.Errorf("%d requests for %d ranges, want 3 for 3", s.gets(), len(s.ranges.byID))
		}
	})
}

// Many that read in order and go away again leave no more behind than there is
// room for.
func TestReadAheadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScan(t, 40, 20, 1000, 4*40_000, faults.Plan{})
		for n := range uint64(40) {
			s.fetch(n*20, 1)
			s.fetch(n*20+1, 1)
			synctest.Wait()
			if c := s.ranges; c.ahead > 30_000 || c.once.bytes > 40_000 || c.ahead < 0 {
				t.Fatalf("%d bytes are there that nobody asked for, of %d", c.ahead, c.once.bytes)
			}
		}
		s.all(3000)
	})
}

// A pass in small steps, each of which reads a range again to go on with it, is
// still one pass.
func TestGoingOnIsNotAskingAgain(t *testing.T) {
	r, _ := counted(t, 1)
	g := at("0", 100, 500)
	for offset := range uint64(5) {
		if _, err := r.Read(t.Context(), g, g.Base+offset); err != nil {
			t.Fatal(err)
		}
	}
	if r.ranges.again.order.Len() != 0 {
		t.Error("the range has left its probation")
	}
}

// An object that is cut off spoils what is missing of it only, also where one
// request would have read all.
func TestCutOffObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScan(t, 1, 10, 1000, 64<<20, faults.Plan{})
		b, err := s.objects.Get(t.Context(), "0", 0, 5000)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.objects.Delete(t.Context(), "0"); err != nil {
			t.Fatal(err)
		}
		if err := s.objects.Put(t.Context(), "0", objstore.Body{Parts: [][]byte{b}, Size: 5000, CRC32C: segment.Update(0, b)}); err != nil {
			t.Fatal(err)
		}
		s.fetch(0, 1)
		s.fetch(1, 1) // in order: one request asks for all that follows, and fails
		for offset := uint64(2); offset < 10; offset++ {
			ranges, _ := s.log.Find(s.Context(), offset, 3000)
			s.Ahead(s.Context(), s.log, ranges, offset, 3000)
			_, err := s.Read(t.Context(), ranges[0], offset)
			if (offset < 5) != (err == nil) || err != nil && !errors.Is(err, objstore.ErrRange) {
				t.Errorf("offset %d: %v", offset, err)
			}
		}
	})
}
