package index

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errClosed = errors.New("closed")

// made is a log from 10 on with n ranges of random length.
func made(r *rand.Rand, n int) (*Log, []Range) {
	var ranges []Range
	next := uint64(10)
	for range n {
		g := Range{Base: next, Records: 1 + r.Uint32N(5), Size: 1 + r.Uint32N(100)}
		next = g.End()
		ranges = append(ranges, g)
	}
	return New(10, next, slices.Clone(ranges)), ranges
}

// Find gives exactly the ranges that a search from the first on would: none is
// left out, and the limit is kept but for the first.
func TestFind(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		l, all := made(r, r.IntN(30))
		for range 5 { // some come later
			_, end := l.Bounds()
			g := Range{Base: end, Records: 1 + r.Uint32N(5), Size: 1 + r.Uint32N(100)}
			l.Append(g)
			all = append(all, g)
		}
		start, end := l.Bounds()
		for offset := start; offset <= end; offset++ {
			limit := r.IntN(300)
			var want []Range
			bytes := 0
			for _, g := range all {
				if g.End() <= offset {
					continue
				}
				if len(want) > 0 && bytes+int(g.Size) > limit {
					break
				}
				want = append(want, g)
				bytes += int(g.Size)
			}
			got, err := l.Find(t.Context(), offset, limit)
			if err != nil || !slices.Equal(got, want) || (len(got) == 0) != (offset == end) {
				t.Fatalf("seed %d: %d bytes from %d: %v, %v, want %v", seed, limit, offset, got, err, want)
			}
		}
		for _, offset := range []uint64{0, start - 1, end + 1, 1 << 63} {
			if _, err := l.Find(t.Context(), offset, 1000); !errors.Is(err, ErrOutOfRange) {
				t.Errorf("seed %d: offset %d of %d to %d: %v", seed, offset, start, end, err)
			}
		}
	}
}

// What Find returned does not change when the log goes on.
func TestFindCopies(t *testing.T) {
	l := New(0, 0, make([]Range, 0, 10))
	l.Append(Range{Base: 0, Records: 1})
	got, err := l.Find(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	got[0].Records = 7
	_ = append(got, Range{Base: 99})
	l.Append(Range{Base: 1, Records: 2})
	if again, err := l.Find(t.Context(), 0, 1000); err != nil || len(again) != 2 || again[0].Records != 1 || again[1].Base != 1 {
		t.Errorf("found %v, %v", again, err)
	}
}

// Wait returns at once for what is there, at the append for what comes, with
// the caller's cause when its patience ends, and with Close's word for ever.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(0, 5, nil)
		began := time.Now()
		if err := l.Wait(t.Context(), 4); err != nil {
			t.Error(err)
		}
		time.AfterFunc(time.Second, func() { l.Append(Range{Base: 5, Records: 1}) })
		time.AfterFunc(2*time.Second, func() { l.Append(Range{Base: 6, Records: 2}) })
		if err := l.Wait(t.Context(), 7); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("for the last record: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errClosed)
		defer cancel()
		if err := l.Wait(ctx, 8); !errors.Is(err, errClosed) {
			t.Errorf("without patience: %v", err)
		}
		other := errors.New("the first word")
		time.AfterFunc(time.Second, func() { l.Close(other); l.Close(errClosed) })
		for range 2 {
			if err := l.Wait(t.Context(), 8); !errors.Is(err, other) {
				t.Errorf("closed: %v", err)
			}
		}
		if got, err := l.Find(t.Context(), 0, 1000); err != nil || len(got) != 2 {
			t.Errorf("a closed log holds %v, %v", got, err)
		}
	})
}

// Every append wakes whoever waits for it, however they interleave: a lost
// wake-up leaves one of these waiting for ever, and the bubble deadlocks.
func TestNoLostWakeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records, readers = 2000, 8
		l := New(0, 0, nil)
		var group sync.WaitGroup
		for i := range uint64(readers) {
			group.Go(func() {
				for next := i; next < records; next += 1 + i {
					if err := l.Wait(t.Context(), next); err != nil {
						t.Error(err)
						return
					}
					if got, err := l.Find(t.Context(), next, 1); err != nil || len(got) == 0 || got[0].Base > next {
						t.Errorf("record %d: %v, %v", next, got, err)
						return
					}
				}
			})
		}
		group.Go(func() {
			for base := range uint64(records) {
				l.Append(Range{Base: base, Records: 1})
			}
		})
		group.Wait()
		for range readers {
			group.Go(func() {
				if err := l.Wait(t.Context(), records); !errors.Is(err, errClosed) {
					t.Error(err)
				}
			})
		}
		l.Close(errClosed)
		group.Wait()
	})
}

// Before gives the range that ends where a reader goes on, or in which it is.
func TestBefore(t *testing.T) {
	l := New(10, 16, []Range{{Base: 10, Records: 2}, {Base: 12, Records: 4}})
	for offset, want := range map[uint64]uint64{10: 0, 11: 10, 12: 10, 13: 12, 16: 12, 17: 0} {
		if g, ok := l.Before(t.Context(), offset); ok != (want > 0) || g.Base != want {
			t.Errorf("before %d: %v, %v", offset, g, ok)
		}
	}
}
