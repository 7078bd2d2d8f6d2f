package wire

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// cursor reads protobuf out of bytes that lie in several buffers.
type cursor struct {
	data mem.BufferSlice
	part []byte // what is left of the current buffer
	next int    // index of the buffer after it
	left int    // bytes left in all
}

func newCursor(data mem.BufferSlice) cursor {
	return cursor{data: data, left: data.Len()}
}

// fill makes sure that part is not empty. The caller knows that bytes are left.
func (c *cursor) fill() {
	for len(c.part) == 0 {
		c.part = c.data[c.next].ReadOnlyData()
		c.next++
	}
}

func (c *cursor) varint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 70; shift += 7 {
		if c.left == 0 {
			return 0, ErrMalformed
		}
		c.fill()
		b := c.part[0]
		c.part, c.left = c.part[1:], c.left-1
		if shift == 63 && b > 1 {
			return 0, ErrMalformed
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, ErrMalformed
}

func (c *cursor) tag() (protowire.Number, protowire.Type, error) {
	v, err := c.varint()
	if err != nil {
		return 0, 0, err
	}
	num, typ := protowire.DecodeTag(v)
	if num < protowire.MinValidNumber {
		return 0, 0, ErrMalformed
	}
	return num, typ, nil
}

// length reads a length that is inside what is left.
func (c *cursor) length() (int, error) {
	v, err := c.varint()
	if err != nil {
		return 0, err
	}
	if v > uint64(c.left) {
		return 0, ErrMalformed
	}
	return int(v), nil
}

// message reads a length and returns how many bytes are left behind the
// message that it begins.
func (c *cursor) message() (int, error) {
	n, err := c.length()
	return c.left - n, err
}

// take appends the next n bytes to views, as pieces of the buffers.
func (c *cursor) take(views [][]byte, n int) [][]byte {
	for n > 0 {
		c.fill()
		k := min(n, len(c.part))
		views = append(views, c.part[:k:k])
		c.part, c.left, n = c.part[k:], c.left-k, n-k
	}
	return views
}

// skip passes over the value of an unknown field. Groups, which proto3 does
// not have, are refused.
func (c *cursor) skip(typ protowire.Type) error {
	n := 0
	switch typ {
	case protowire.VarintType:
		_, err := c.varint()
		return err
	case protowire.Fixed32Type:
		n = 4
	case protowire.Fixed64Type:
		n = 8
	case protowire.BytesType:
		var err error
		if n, err = c.length(); err != nil {
			return err
		}
	default:
		return ErrMalformed
	}
	if n > c.left {
		return ErrMalformed
	}
	for n > 0 {
		c.fill()
		k := min(n, len(c.part))
		c.part, c.left, n = c.part[k:], c.left-k, n-k
	}
	return nil
}
