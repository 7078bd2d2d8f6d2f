package batch

import "encoding/binary"

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// putUvarint spares most lengths the loop of binary.PutUvarint.
func putUvarint(p []byte, v uint64) int {
	if v < 0x80 {
		p[0] = byte(v)
		return 1
	}
	return binary.PutUvarint(p, v)
}

// cursor reads a payload. What fails sets bad and leaves nothing to read, so
// that a run of reads needs one check at its end.
type cursor struct {
	b   []byte
	pos int
	bad bool
}

func (c *cursor) left() int { return len(c.b) - c.pos }

func (c *cursor) uvarint() uint64 {
	if c.pos < len(c.b) {
		if v := c.b[c.pos]; v < 0x80 {
			c.pos++
			return uint64(v)
		}
	}
	return c.longUvarint()
}

func (c *cursor) longUvarint() uint64 {
	v, n := binary.Uvarint(c.b[c.pos:])
	if n <= 0 {
		c.fail()
		return 0
	}
	c.pos += n
	return v
}

// take returns the next n bytes, not nil even where n is 0.
func (c *cursor) take(n uint64) []byte {
	if n > uint64(c.left()) {
		c.fail()
		return nil
	}
	end := c.pos + int(n)
	b := c.b[c.pos:end:end]
	c.pos = end
	return b
}

// nullable returns a field that is prefixed with its length plus one, or nil
// for the 0 that means null.
func (c *cursor) nullable() []byte {
	n := c.uvarint()
	if n == 0 {
		return nil
	}
	return c.take(n - 1)
}

func (c *cursor) fail() { c.pos, c.bad = len(c.b), true }
