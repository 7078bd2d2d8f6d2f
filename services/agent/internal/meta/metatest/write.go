package metatest

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

var writeChecks = []check{
	{"Create", create},
	{"CreateExisting", createExisting},
	{"GetMissing", getMissing},
	{"Swap", swap},
	{"SwapConflict", swapConflict},
	{"Delete", deleteRow},
	{"CreateAfterDelete", createAfterDelete},
	{"Cancelled", cancelled},
}

// The store, not the caller, counts versions and stamps the format.
func create(t *testing.T, s meta.Store) {
	row := &meta.Topic{Header: meta.Header{Version: 77}, Name: "logs", ID: 5, Partitions: 8}
	mustCreate(t, s, row)
	if want := (meta.Header{Version: 1, Format: meta.Format}); row.Header != want {
		t.Fatalf("header after create: got %+v, want %+v", row.Header, want)
	}
	wantStored(t, s, row)
}

// Create-if-absent is what makes a commit: the row that stands is never
// changed by a second one.
func createExisting(t *testing.T, s meta.Store) {
	first := &meta.Entry{Session: "s", Seq: 3, By: "first"}
	mustCreate(t, s, first)
	second := &meta.Entry{Session: "s", Seq: 3, By: "second"}
	if err := s.Create(t.Context(), second); !errors.Is(err, meta.ErrExists) {
		t.Fatalf("create: got %v, want ErrExists", err)
	}
	if second.Header != (meta.Header{}) {
		t.Errorf("header after a refused create: %+v, want it as it was", second.Header)
	}
	wantStored(t, s, first)
}

func getMissing(t *testing.T, s meta.Store) {
	mustCreate(t, s, entry("s", 1))
	for _, row := range []*meta.Entry{entry("s", 0), entry("s", 2), entry("s\x00", 1), entry("t", 1)} {
		row.By, row.Version = "mine", 9
		before := *row
		if err := s.Get(t.Context(), row); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("get %v: got %v, want ErrNotFound", row.Key(), err)
		}
		if !reflect.DeepEqual(*row, before) {
			t.Errorf("get of a missing row changed the caller's: %+v", row)
		}
	}
	// The same key in another kind is another row.
	if err := s.Get(t.Context(), &meta.Session{ID: "s"}); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("get of another kind: got %v, want ErrNotFound", err)
	}
}

func swap(t *testing.T, s meta.Store) {
	row := &meta.Session{ID: "s", Addresses: map[string]string{"a": "1"}}
	mustCreate(t, s, row)
	for beat := range uint64(5) {
		row.Beat = beat
		if err := s.Swap(t.Context(), row); err != nil {
			t.Fatalf("swap: %v", err)
		}
		if want := beat + 2; row.Version != want {
			t.Fatalf("version after swap: got %d, want %d", row.Version, want)
		}
		wantStored(t, s, row)
	}
	// What a swap leaves out is gone from the row, not merged with the old.
	row.Addresses = nil
	if err := s.Swap(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	wantStored(t, s, row)
}

func swapConflict(t *testing.T, s meta.Store) {
	row := &meta.Session{ID: "s", Beat: 1}
	mustCreate(t, s, row)
	stale := &meta.Session{Header: row.Header, ID: "s", Beat: 7}
	row.Beat = 2
	if err := s.Swap(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint64{0, 1, 3, 1 << 40} {
		stale.Version = version
		if err := s.Swap(t.Context(), stale); !errors.Is(err, meta.ErrConflict) {
			t.Errorf("swap on version %d of 2: got %v, want ErrConflict", version, err)
		}
		if stale.Version != version {
			t.Errorf("a refused swap changed the caller's version to %d", stale.Version)
		}
	}
	missing := &meta.Session{ID: "none"}
	for _, version := range []uint64{0, 1} {
		missing.Version = version
		if err := s.Swap(t.Context(), missing); !errors.Is(err, meta.ErrConflict) {
			t.Errorf("swap of a missing row: got %v, want ErrConflict", err)
		}
	}
	wantStored(t, s, row)
}

func deleteRow(t *testing.T, s meta.Store) {
	row, other := &meta.Topic{Name: "a"}, &meta.Topic{Name: "b"}
	mustCreate(t, s, row, other)
	if err := s.Swap(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	stale := &meta.Topic{Header: meta.Header{Version: 1}, Name: "a"}
	if err := s.Delete(t.Context(), stale); !errors.Is(err, meta.ErrConflict) {
		t.Fatalf("delete on an older version: got %v, want ErrConflict", err)
	}
	wantStored(t, s, row)
	if err := s.Delete(t.Context(), row); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if err := s.Delete(t.Context(), row); !errors.Is(err, meta.ErrConflict) {
		t.Fatalf("second delete: got %v, want ErrConflict", err)
	}
	if err := s.Get(t.Context(), &meta.Topic{Name: "a"}); !errors.Is(err, meta.ErrNotFound) {
		t.Fatalf("get after delete: got %v, want ErrNotFound", err)
	}
	wantStored(t, s, other)
}

// A topic that is made again under its name is a new row.
func createAfterDelete(t *testing.T, s meta.Store) {
	row := &meta.Topic{Name: "a", ID: 1}
	mustCreate(t, s, row)
	if err := s.Swap(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	again := &meta.Topic{Name: "a", ID: 2}
	mustCreate(t, s, again)
	wantStored(t, s, again)
	if again.Version != 1 {
		t.Errorf("version of the new row: got %d, want 1", again.Version)
	}
}

// A caller that gave up is told so, by each operation.
func cancelled(t *testing.T, s meta.Store) {
	row := &meta.Session{ID: "s"}
	mustCreate(t, s, row)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"create": s.Create(ctx, &meta.Session{ID: "new"}),
		"get":    s.Get(ctx, &meta.Session{ID: "s"}),
		"swap":   s.Swap(ctx, row),
		"query":  last(s.Query(ctx, meta.Sessions, "s", 0)),
		"scan":   last(s.Scan(ctx, meta.Sessions)),
		// A list that was cut short must not look like an empty one.
		"query of nothing": last(s.Query(ctx, meta.Sessions, "none", 0)),
		"scan of nothing":  last(s.Scan(ctx, meta.Topics)),

		"delete": s.Delete(ctx, row),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", name, err)
		}
	}
}
