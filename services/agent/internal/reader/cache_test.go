package reader

import (
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
)

// counted is a reader of objects of which eight ranges fit in the cache, four on
// probation and four that were asked for again.
func counted(t *testing.T, objects int) (r *Reader, gets func(want uint64)) {
	t.Helper()
	r, injector := stored(t, objects, 2*4000, faults.Plan{})
	return r, func(want uint64) {
		t.Helper()
		if got := injector.Ops()[faults.Get]; got != want {
			t.Errorf("%d requests, want %d", got, want)
		}
		c := r.ranges
		for name, h := range map[string]*half{"once": &c.once, "again": &c.again} {
			if h.bytes > 2000 || h.bytes != int64(500*h.order.Len()) {
				t.Errorf("%s: %d bytes in %d ranges", name, h.bytes, h.order.Len())
			}
		}
		if len(c.byID) != c.once.order.Len()+c.again.order.Len() {
			t.Errorf("%d ranges, of which %d and %d are in order", len(c.byID), c.once.order.Len(), c.again.order.Len())
		}
	}
}

// What is kept costs no request, and the one that was read the longest time ago
// goes first.
func TestCacheBounds(t *testing.T) {
	r, gets := counted(t, 10)
	for n := range 5 { // the last drives out 0
		mustRead(t, r, n)
	}
	gets(5)
	for n := 1; n < 5; n++ {
		mustRead(t, r, n)
	}
	gets(5)
	mustRead(t, r, 0)
	gets(6)
	if r.ranges.put(rangeID{key: "large", size: 2001}, make([]byte, 2001), true); len(r.ranges.byID) != 5 {
		t.Errorf("a range above the limit leaves %d ranges", len(r.ranges.byID))
	}
}

// A reader that passes once over a log that is larger than the cache costs those
// who share ranges nothing.
func TestScanDrivesNothingOut(t *testing.T) {
	r, gets := counted(t, 40)
	for range 2 {
		for n := range 4 {
			mustRead(t, r, n)
		}
	}
	gets(4)
	for n := 4; n < 40; n++ {
		mustRead(t, r, n)
	}
	gets(40)
	for n := range 4 {
		mustRead(t, r, n)
	}
	gets(40)
}

// What nobody shares any more makes room for what is shared now.
func TestCacheForgetsThePast(t *testing.T) {
	r, gets := counted(t, 20)
	for from := 0; from < 20; from += 4 {
		for range 2 {
			for n := from; n < from+4; n++ {
				mustRead(t, r, n)
			}
		}
	}
	gets(20)
	mustRead(t, r, 0)
	gets(21)
}

func TestForget(t *testing.T) {
	r, gets := counted(t, 1)
	mustRead(t, r, 0)
	r.Forget(at("0", 100, 500))
	mustRead(t, r, 0)
	mustRead(t, r, 0)
	gets(2)
	r.Forget(at("0", 100, 500))
	r.Forget(at("0", 100, 500))
	mustRead(t, r, 0)
	gets(3)
}
