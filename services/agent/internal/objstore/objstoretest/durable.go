package objstoretest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// RunDurable checks that a store that is opened again on the same folder holds
// exactly what it held. Run says nothing about that: stores in memory pass it.
func RunDurable(t *testing.T, open func(t *testing.T, dir string) objstore.Store) {
	t.Helper()
	t.Run("Reopen", func(t *testing.T) {
		t.Parallel()
		reopen(t, open)
	})
}

func reopen(t *testing.T, open func(t *testing.T, dir string) objstore.Store) {
	t.Helper()
	dir := t.TempDir()
	want := map[string]int64{}
	for round := range 3 {
		s := open(t, dir)
		wantList(t, s, "", want)
		for i := range 10 {
			key := fmt.Sprintf("round%d/%d/x", round, i)
			mustPut(t, s, key, content(uint64(i), i*1000))
			want[key] = int64(i) * 1000
		}
		gone := fmt.Sprintf("round%d/0/x", round)
		if err := s.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		delete(want, gone)
		closeStore(t, s)
	}
	s := open(t, dir)
	defer closeStore(t, s)
	wantList(t, s, "", want)
	for i := 1; i < 10; i++ {
		key := fmt.Sprintf("round1/%d/x", i)
		wantObject(t, s, key, content(uint64(i), i*1000))
		if err := s.Put(t.Context(), key, Body(nil)); !errors.Is(err, objstore.ErrExists) {
			t.Errorf("put of an object of an earlier run: got %v, want ErrExists", err)
		}
	}
}
