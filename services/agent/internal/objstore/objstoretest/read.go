package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

var readChecks = []check{
	{"GetMissing", getMissing},
	{"GetRanges", getRanges},
	{"GetOwnedByCaller", getOwned},
	{"GetCancelled", getCancelled},
	{"List", listByPrefix},
	{"ListStops", listStops},
	{"ListCancelled", listCancelled},
	{"ListManyWhileDeleting", listWhileDeleting},
	{"Delete", deleteTwice},
	{"DeleteMany", deleteMany},
	{"DeleteCancelled", deleteCancelled},
	{"KeysWithinKeys", keysWithinKeys},
}

func getMissing(t *testing.T, s objstore.Store) {
	mustPut(t, s, "a/b", []byte("x"))
	for _, key := range []string{"a", "a/c", "a/b/c", "b", "z/y/x"} {
		for _, length := range []int64{-1, 1} {
			if _, err := s.Get(t.Context(), key, 0, length); !errors.Is(err, objstore.ErrNotFound) {
				t.Errorf("get %q: got %v, want ErrNotFound", key, err)
			}
		}
	}
}

func getRanges(t *testing.T, s objstore.Store) {
	whole := content(6, 1000)
	mustPut(t, s, "k", whole)
	for _, c := range []struct {
		offset, length int64
		want           []byte // nil: ErrRange
	}{
		{0, 1000, whole},
		{0, 1, whole[:1]},
		{999, 1, whole[999:]},
		{10, 20, whole[10:30]},
		{990, -1, whole[990:]},
		{0, 1001, nil},
		{999, 2, nil},
		{1001, -1, nil},
		{1000, 1, nil},
		{5000, 10, nil},
		{-1, 5, nil},
		{-1, -1, nil},
		{0, -2, nil},
		{1, math.MaxInt64, nil},
		{math.MaxInt64, math.MaxInt64, nil},
	} {
		got, err := s.Get(t.Context(), "k", c.offset, c.length)
		switch {
		case c.want == nil && !errors.Is(err, objstore.ErrRange):
			t.Errorf("get %d+%d of 1000: got %d bytes, %v, want ErrRange", c.offset, c.length, len(got), err)
		case c.want != nil && (err != nil || !bytes.Equal(got, c.want)):
			t.Errorf("get %d+%d of 1000: got %d bytes, %v, want %d", c.offset, c.length, len(got), err, len(c.want))
		}
	}
}

// A reader decompresses in place: that must not change what others read.
func getOwned(t *testing.T, s objstore.Store) {
	mustPut(t, s, "k", []byte("stored"))
	got, err := s.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	wantObject(t, s, "k", []byte("stored"))
}

func getCancelled(t *testing.T, s objstore.Store) {
	mustPut(t, s, "k", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, "k", 0, -1); !errors.Is(err, context.Canceled) {
		t.Fatalf("get: got %v, want context.Canceled", err)
	}
}

func listByPrefix(t *testing.T, s objstore.Store) {
	wantList(t, s, "", map[string]int64{})
	all := map[string]int64{"a": 1, "a1": 2, "a/1": 3, "a/2": 4, "a/b/3": 5, "ab/4": 6, "b/5": 7, "b-c_d.e=f/6": 8}
	for key, size := range all {
		mustPut(t, s, key, make([]byte, size))
	}
	for prefix, keys := range map[string][]string{
		"":       {"a", "a1", "a/1", "a/2", "a/b/3", "ab/4", "b/5", "b-c_d.e=f/6"},
		"a":      {"a", "a1", "a/1", "a/2", "a/b/3", "ab/4"},
		"a/":     {"a/1", "a/2", "a/b/3"},
		"a/b":    {"a/b/3"},
		"a/b/":   {"a/b/3"},
		"a/b/3":  {"a/b/3"},
		"a/b/3/": {},
		"b":      {"b/5", "b-c_d.e=f/6"},
		"b-":     {"b-c_d.e=f/6"},
		"c":      {},
		"c/d/e":  {},
	} {
		want := map[string]int64{}
		for _, key := range keys {
			want[key] = all[key]
		}
		wantList(t, s, prefix, want)
	}
}

// The caller may stop early, and list again.
func listStops(t *testing.T, s objstore.Store) {
	for i := range 5 {
		mustPut(t, s, fmt.Sprintf("d%d/x", i), []byte("x"))
	}
	for range 3 {
		seen := 0
		for _, err := range s.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == 2 {
				break
			}
		}
		if seen != 2 {
			t.Fatalf("saw %d objects before the stop, want 2", seen)
		}
	}
}

// A list that was cut short must not look like a short list: what is missing
// in it would be taken for deleted.
func listCancelled(t *testing.T, s objstore.Store) {
	mustPut(t, s, "a/1", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, prefix := range []string{"", "a/", "none", "none/"} {
		var last error
		yields := 0
		for _, err := range s.List(ctx, prefix) {
			last = err
			yields++
		}
		if yields != 1 || !errors.Is(last, context.Canceled) {
			t.Errorf("list %q yielded %d times, last error %v, want context.Canceled alone", prefix, yields, last)
		}
	}
}

// Cleaning up lists and deletes in one loop, over more objects than a page of
// any backend holds.
func listWhileDeleting(t *testing.T, s objstore.Store) {
	const writers, each = 16, 100
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := s.Put(t.Context(), fmt.Sprintf("many/%d-%d", w, i), Body([]byte("x"))); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for info, err := range s.List(t.Context(), "many/") {
		if err != nil {
			t.Fatal(err)
		}
		seen[info.Key] = true
		if err := s.Delete(t.Context(), info.Key); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != writers*each {
		t.Fatalf("listed %d objects while deleting them, want %d", len(seen), writers*each)
	}
	wantList(t, s, "", map[string]int64{})
}

func deleteTwice(t *testing.T, s objstore.Store) {
	mustPut(t, s, "a/1", []byte("x"))
	mustPut(t, s, "a/2", []byte("y"))
	for range 2 {
		if err := s.Delete(t.Context(), "a/1"); err != nil {
			t.Fatalf("delete: %v", err)
		}
	}
	for _, missing := range []string{"a", "b", "b/c/d"} {
		if err := s.Delete(t.Context(), missing); err != nil {
			t.Fatalf("delete of %q, which was never there: %v", missing, err)
		}
	}
	if _, err := s.Get(t.Context(), "a/1", 0, -1); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatalf("get after delete: got %v, want ErrNotFound", err)
	}
	wantObject(t, s, "a/2", []byte("y"))
	wantList(t, s, "", map[string]int64{"a/2": 1})
}

// One call deletes more objects than a request of any backend holds, and some
// that are not there.
func deleteMany(t *testing.T, s objstore.Store) {
	var keys []string
	for i := range 1010 {
		keys = append(keys, fmt.Sprintf("many/%d", i))
	}
	for _, key := range keys[:20] {
		mustPut(t, s, key, []byte(key))
		mustPut(t, s, "kept/"+key, []byte(key))
	}
	mustPut(t, s, keys[1009], []byte("the last one"))
	for range 2 {
		if err := s.Delete(t.Context(), keys...); err != nil {
			t.Fatal(err)
		}
	}
	wantList(t, s, "many/", map[string]int64{})
	if left := list(t.Context(), t, s, ""); len(left) != 20 {
		t.Errorf("%d objects are left, want the 20 that were not named", len(left))
	}
	if err := s.Delete(t.Context()); err != nil {
		t.Errorf("delete nothing: %v", err)
	}
}

func deleteCancelled(t *testing.T, s objstore.Store) {
	mustPut(t, s, "k", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Delete(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Fatalf("delete: got %v, want context.Canceled", err)
	}
}

// In an object store a key may continue another; a backend over folders must
// not lose one of the two.
func keysWithinKeys(t *testing.T, s objstore.Store) {
	keys := []string{"a", "a/b", "a/b/c", "a/b/c/d/e/f/g", "a.b", "x/y", "x"}
	for _, key := range keys {
		mustPut(t, s, key, []byte(key))
	}
	for _, key := range keys {
		wantObject(t, s, key, []byte(key))
	}
	if err := s.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	wantObject(t, s, "a/b/c", []byte("a/b/c"))
	wantObject(t, s, "a", []byte("a"))
}
