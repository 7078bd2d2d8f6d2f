// Package objstoretest checks that a backend keeps the contract of
// objstore.Store. Every backend, and every decorator around one, runs it.
package objstoretest

import (
	"bytes"
	"context"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// check is one promise of the contract, tried on a store of its own.
type check struct {
	name string
	run  func(t *testing.T, s objstore.Store)
}

// Run checks everything that the contract promises while a store is open.
// open returns a new, empty store each time; Run closes it.
func Run(t *testing.T, open func(t *testing.T) objstore.Store) {
	t.Helper()
	for _, c := range slices.Concat(putChecks, readChecks) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			t.Cleanup(func() { closeStore(t, s) })
			c.run(t, s)
		})
	}
}

// Body makes a body of parts, with its right size and checksum.
func Body(parts ...[]byte) objstore.Body {
	body := objstore.Body{Parts: parts}
	for _, part := range parts {
		body.Size += int64(len(part))
		body.CRC32C = crc32.Update(body.CRC32C, castagnoli, part)
	}
	return body
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// content returns n bytes that nothing compresses and that a seed repeats.
func content(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	b := make([]byte, n)
	_, _ = r.Read(b) // never fails
	return b
}

func closeStore(t *testing.T, s objstore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func mustPut(t *testing.T, s objstore.Store, key string, parts ...[]byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, Body(parts...)); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// wantObject fails unless the object under key is exactly want.
func wantObject(t *testing.T, s objstore.Store, key string, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("get %q: got %d bytes that differ from the %d put", key, len(got), len(want))
	}
}

// wantList fails unless exactly the objects of want begin with prefix.
func wantList(t *testing.T, s objstore.Store, prefix string, want map[string]int64) {
	t.Helper()
	got := list(t.Context(), t, s, prefix)
	if !maps.Equal(got, want) {
		t.Fatalf("list %q: got %v, want %v", prefix, got, want)
	}
}

func list(ctx context.Context, t *testing.T, s objstore.Store, prefix string) map[string]int64 {
	t.Helper()
	got := map[string]int64{}
	for info, err := range s.List(ctx, prefix) {
		if err != nil {
			t.Fatalf("list %q: %v", prefix, err)
		}
		if _, twice := got[info.Key]; twice {
			t.Fatalf("list %q: %q came twice", prefix, info.Key)
		}
		got[info.Key] = info.Size
	}
	return got
}
