package bolt

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// appendKey encodes a key so that the order of the bytes is the order of
// (hash, range): the hash, then its range in big-endian.
func appendKey(b []byte, key meta.Key) []byte {
	return binary.BigEndian.AppendUint64(appendHash(b, key.Hash), key.Range)
}

// appendHash ends the hash with 00 00. A 00 within it becomes 00 FF, which
// sorts after the end and before every other byte: hashes that begin with each
// other stay apart and in order, and none is a prefix of another.
func appendHash(b []byte, hash string) []byte {
	for i := range len(hash) {
		b = append(b, hash[i])
		if hash[i] == 0 {
			b = append(b, 0xFF)
		}
	}
	return append(b, 0, 0)
}

func keyOf(key meta.Key) ([]byte, error) {
	b := appendKey(make([]byte, 0, len(key.Hash)+10), key)
	if len(b) > bbolt.MaxKeySize {
		return nil, fmt.Errorf("the key has %d bytes, more than %d", len(b), bbolt.MaxKeySize)
	}
	return b, nil
}
