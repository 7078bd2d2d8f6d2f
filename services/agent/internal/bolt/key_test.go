package bolt

import (
	"bytes"
	"cmp"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// The order of the bytes is the order of (hash, range), and rows of one hash
// are exactly those with its prefix.
func FuzzKeyOrder(f *testing.F) {
	f.Add("", uint64(0), "\x00", uint64(1))
	f.Add("a", uint64(1<<63), "a\x00", uint64(0))
	f.Add("a\x00\x00", uint64(255), "a\x00\xff", uint64(256))
	f.Add("a\x00\x01", uint64(0), "a\x01", uint64(0))
	f.Add("s", uint64(9), "s", uint64(10))
	f.Fuzz(func(t *testing.T, hash1 string, range1 uint64, hash2 string, range2 uint64) {
		a, b := meta.Key{Hash: hash1, Range: range1}, meta.Key{Hash: hash2, Range: range2}
		want := cmp.Or(cmp.Compare(hash1, hash2), cmp.Compare(range1, range2))
		if got := bytes.Compare(appendKey(nil, a), appendKey(nil, b)); got != want {
			t.Errorf("%v and %v compare as %d, their keys as %d", a, b, want, got)
		}
		if got := bytes.HasPrefix(appendKey(nil, b), appendHash(nil, hash1)); got != (hash1 == hash2) {
			t.Errorf("the key of %v begins with the hash %q: %v", b, hash1, got)
		}
	})
}
