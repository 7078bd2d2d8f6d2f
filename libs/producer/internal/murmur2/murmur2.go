// Package murmur2 hashes keys as the Kafka clients do by default, so that a
// key lands in the same partition whichever of them, in whichever language,
// sent it.
package murmur2

import "encoding/binary"

const (
	seed = 0x9747b28c // the one that Kafka's Java client uses
	mix  = 0x5bd1e995
	turn = 24
)

// Sum returns the 32-bit MurmurHash2 of key.
func Sum(key []byte) uint32 {
	h := uint32(seed) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * mix
		k = (k ^ k>>turn) * mix
		h = h*mix ^ k
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(key[0])) * mix
	}
	h = (h ^ h>>13) * mix
	return h ^ h>>15
}

// Partition returns the partition of key among n: the hash without its sign
// bit, modulo n.
func Partition(key []byte, n int) int {
	return int(Sum(key)&0x7fffffff) % n
}
