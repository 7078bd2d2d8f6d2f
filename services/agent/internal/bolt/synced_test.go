package bolt

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// bbolt shows a transaction before its last sync. Whoever reads a row then must
// not be told of it until the disk has it: R3 takes a row that was read for a
// commit, and a power failure would take it back.
func TestReadersWaitForTheSync(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "meta.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Create(t.Context(), &meta.Counter{Name: "n"}); err != nil {
			t.Fatal(err)
		}
		newest, _, _ := s.synced.look()
		s.synced.advance(newest - 1) // as it is while the sync is under way

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Get(short, &meta.Counter{Name: "n"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("get before the sync: got %v, want the context's error", err)
		}
		short, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for row, err := range s.Scan(short, meta.Counters) {
			if err == nil {
				t.Errorf("scan before the sync yielded %v", row)
			}
		}
		done := make(chan error, 1)
		go func() { done <- s.Get(t.Context(), &meta.Counter{Name: "n"}) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("get returned before the sync: %v", err)
		default:
		}
		s.synced.advance(newest)
		if err := <-done; err != nil {
			t.Errorf("get after the sync: %v", err)
		}
	})
}

// After a sync that failed, nothing that depends on it is passed on, and
// nothing is written on top.
func TestFailedSyncEndsTheStore(t *testing.T) {
	t.Parallel()
	s, err := Open(filepath.Join(t.TempDir(), "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	row := &meta.Counter{Name: "n"}
	if err := s.Create(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	newest, _, _ := s.synced.look()
	if s.visible(newest + 1) {
		t.Error("a transaction that was never written counts as visible")
	}
	if !s.visible(newest) {
		t.Error("the newest transaction does not count as visible")
	}
	if err := s.settle(newest, errors.New("sync")); err == nil {
		t.Error("a failed sync was taken for a commit")
	}
	for op, err := range map[string]error{
		"get":    s.Get(t.Context(), &meta.Counter{Name: "n"}),
		"create": s.Create(t.Context(), &meta.Counter{Name: "m"}),
		"swap":   s.Swap(t.Context(), row),
	} {
		if !errors.Is(err, errUnsynced) {
			t.Errorf("%s after a failed sync: got %v, want %v", op, err, errUnsynced)
		}
	}
}
