package segment

import "github.com/streamhouse/streamhouse/proto/batch"

// Update continues a CRC-32C, which starts at 0, over p.
func Update(crc uint32, p []byte) uint32 { return batch.Update(crc, p) }

// Combine returns the CRC-32C of A followed by B, from that of A, that of B,
// and the length of B in bytes, which must not be negative. So the CRC of an
// object comes from those of its batches, which are known, with no second pass
// over the data. It takes some 100 ns.
//
// A CRC is a polynomial over GF(2) modulo P. Appending lenB zero bytes to A
// multiplies its CRC by x^(8 lenB); adding B's puts B in place of the zeros.
func Combine(crcA, crcB uint32, lenB int64) uint32 {
	for i, n := 0, uint64(lenB); n > 0; i, n = i+1, n>>8 {
		if digit := byte(n); digit != 0 {
			crcA = multiply(crcA, zeros[i][digit])
		}
	}
	return crcA ^ crcB
}

// BatchCRC returns the CRC-32C of all bytes of a stored batch, from its first
// batch.ChecksumFrom bytes, the CRC in its header, which covers the others,
// and its size.
func BatchCRC(firstEight []byte, headerCRC, size uint32) uint32 {
	return Combine(Update(0, firstEight[:batch.ChecksumFrom]), headerCRC, int64(size)-batch.ChecksumFrom)
}

// poly is P without x^32. Bit 31 is x^0 and bit 0 is x^31, as in a CRC-32C.
const poly = 0x82f63b78

// multiply returns a times b modulo P. Which bits are set is random, so it
// takes masks instead of branches.
func multiply(a, b uint32) uint32 {
	var product uint32
	for range 32 {
		product ^= b & -(a >> 31)
		a <<= 1
		b = b>>1 ^ poly&-(b&1) // times x
	}
	return product
}

// zeros[i][d] is x^(8 d 256^i) modulo P: what d 256^i zero bytes do to a CRC.
var zeros = powers()

func powers() (t [8][256]uint32) {
	step := uint32(1 << (31 - 8)) // x^8
	for i := range t {
		t[i][0] = 1 << 31 // x^0
		for d := range t[i][1:] {
			t[i][d+1] = multiply(t[i][d], step)
		}
		step = multiply(t[i][255], step)
	}
	return t
}
