package verify

import "github.com/streamhouse/streamhouse/proto/batch"

// Digest sums up which batches stand at which offsets, in whatever order they
// are added: two that are equal tell that a reader is given what is stored.
type Digest uint64

// Add adds a batch whose first record has the offset base.
func (d *Digest) Add(base uint64, h *batch.Header) { d.add(base, h.Records, h.CRC) }

// add sums mixed values, since a sum does not depend on the order.
func (d *Digest) add(base uint64, records, crc uint32) {
	x := mix(base) ^ mix(uint64(records)<<32|uint64(crc)+1)
	*d += Digest(mix(x))
}

// mix spreads every bit of x over the whole result; it has an inverse, so that
// no two values become one. The multipliers are odd numbers with random bits.
func mix(x uint64) uint64 {
	x = (x ^ x>>31) * 0x9e6c63d0676a9a99
	x = (x ^ x>>29) * 0xd1342543de82ef95
	return x ^ x>>32
}
