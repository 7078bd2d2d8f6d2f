package metatest

import (
	"errors"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// RunDurable checks that a store that is opened again on the same folder holds
// exactly what it held. Run says nothing about that: stores in memory pass it.
func RunDurable(t *testing.T, open func(t *testing.T, dir string) meta.Store) {
	t.Helper()
	t.Run("Reopen", func(t *testing.T) {
		t.Parallel()
		reopen(t, open)
	})
}

func reopen(t *testing.T, open func(t *testing.T, dir string) meta.Store) {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	want := map[meta.Kind]meta.Row{}
	for _, kind := range meta.Kinds() {
		gone := filled(t, kind, 1)
		want[kind] = filled(t, kind, 2)
		mustCreate(t, s, gone, want[kind])
		if err := s.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	for range 3 {
		s = open(t, dir)
		for _, kind := range meta.Kinds() {
			wantRows(t, s.Scan(t.Context(), kind), want[kind])
			if err := s.Create(t.Context(), meta.Clone(want[kind])); !errors.Is(err, meta.ErrExists) {
				t.Errorf("create of a row of an earlier run: got %v, want ErrExists", err)
			}
			if err := s.Swap(t.Context(), want[kind]); err != nil {
				t.Errorf("swap of a row of an earlier run: %v", err)
			}
		}
		closeStore(t, s)
	}
}
