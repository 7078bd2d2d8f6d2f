package metatest

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

var raceChecks = []check{
	{"RaceToCreate", raceToCreate},
	{"RaceToSwap", raceToSwap},
	{"RaceToDelete", raceToDelete},
	{"ReadYourWrites", readYourWrites},
}

// Of concurrent Creates of one row exactly one wins: a seal against a commit.
func raceToCreate(t *testing.T, s meta.Store) {
	const writers, rounds = 8, 20
	for seq := range uint64(rounds) {
		var wg sync.WaitGroup
		var winner atomic.Pointer[meta.Entry]
		for w := range writers {
			wg.Go(func() {
				row := &meta.Entry{Session: "s", Seq: seq, By: strconv.Itoa(w)}
				switch err := s.Create(t.Context(), row); {
				case err == nil && !winner.CompareAndSwap(nil, row):
					t.Error("two creates of one row succeeded")
				case err != nil && !errors.Is(err, meta.ErrExists):
					t.Errorf("create: got %v, want nil or ErrExists", err)
				}
			})
		}
		wg.Wait()
		if winner.Load() == nil {
			t.Fatal("no create succeeded")
		}
		wantStored(t, s, winner.Load())
	}
}

// A counter that many raise hands out each number once. Every loser must read
// the winner's row at once, or it would spin on an old version.
func raceToSwap(t *testing.T, s meta.Store) {
	const workers, each = 8, 25
	mustCreate(t, s, &meta.Counter{Name: "n"})
	var wg sync.WaitGroup
	var winners [workers*each + 1]atomic.Int64 // by the number handed out
	for range workers {
		wg.Go(func() {
			for range each {
				n, err := next(t, s)
				if err != nil || n >= uint64(len(winners)) {
					t.Errorf("next number: %d, %v", n, err)
					return
				}
				winners[n].Add(1)
			}
		})
	}
	wg.Wait()
	for n := 1; n < len(winners); n++ {
		if got := winners[n].Load(); got != 1 {
			t.Errorf("number %d was handed out %d times, want once", n, got)
		}
	}
	wantStored(t, s, &meta.Counter{
		Header: meta.Header{Version: workers*each + 1, Format: meta.Format},
		Name:   "n", Last: workers * each,
	})
}

func next(t *testing.T, s meta.Store) (uint64, error) {
	t.Helper()
	for {
		row := &meta.Counter{Name: "n"}
		if err := s.Get(t.Context(), row); err != nil {
			return 0, err
		}
		row.Last++
		err := s.Swap(t.Context(), row)
		if err == nil {
			return row.Last, nil
		}
		if !errors.Is(err, meta.ErrConflict) {
			return 0, err
		}
	}
}

// Of a Delete and Swaps of one version exactly one wins.
func raceToDelete(t *testing.T, s meta.Store) {
	const rounds = 20
	for range rounds {
		row := &meta.Topic{Name: "t"}
		mustCreate(t, s, row)
		var wg sync.WaitGroup
		var swapped, deleted atomic.Int64
		for w := range 6 {
			wg.Go(func() {
				own, op, wins := *row, s.Swap, &swapped
				if w%2 == 0 {
					op, wins = s.Delete, &deleted
				}
				switch err := op(t.Context(), &own); {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, meta.ErrConflict):
					t.Errorf("got %v, want nil or ErrConflict", err)
				}
			})
		}
		wg.Wait()
		if swapped.Load()+deleted.Load() != 1 {
			t.Fatalf("%d swaps and %d deletes of one version succeeded, want one in all", swapped.Load(), deleted.Load())
		}
		if swapped.Load() == 1 {
			row.Version = 2
			if err := s.Delete(t.Context(), row); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Whoever starts to read after a write was acknowledged sees it, in every way
// of reading, while others write.
func readYourWrites(t *testing.T, s meta.Store) {
	const writers, each = 4, 20
	var wg sync.WaitGroup
	for w := range writers {
		session := string(rune('a' + w))
		wg.Go(func() {
			for seq := range uint64(each) {
				if err := s.Create(t.Context(), entry(session, seq)); err != nil {
					t.Errorf("create: %v", err)
					return
				}
				if err := s.Get(t.Context(), entry(session, seq)); err != nil {
					t.Errorf("get of a row just created: %v", err)
				}
				if n := length(t, s, session); n != seq+1 {
					t.Errorf("query after %d creates yielded %d rows", seq+1, n)
				}
			}
		})
	}
	wg.Wait()
}

func length(t *testing.T, s meta.Store, session string) (n uint64) {
	t.Helper()
	for _, err := range s.Query(t.Context(), meta.Journal, session, 0) {
		if err != nil {
			t.Errorf("query: %v", err)
			return n
		}
		n++
	}
	return n
}
