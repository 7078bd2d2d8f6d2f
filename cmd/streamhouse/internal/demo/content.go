package demo

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	keySize   = 8
	indexSize = 8
	// MinRecordSize is a key and the record's index.
	MinRecordSize = keySize + indexSize
	// keys is how many different keys there are.
	keys = 10_000
)

// content makes the records: what record i holds follows from the seed and i
// alone, so that the reader can make it again and compare.
type content struct {
	seed uint64
	size int
}

// fill writes record i's key and value into buf, which it returns grown. The
// value is the index, then bytes that look random.
func (c *content) fill(buf []byte, i uint64) (key, value, grown []byte) {
	number := mix(c.seed+i) % keys
	digit := func(unit uint64) byte { return '0' + byte(number/unit%10) }
	buf = append(buf[:0], 'k', 'e', 'y', '-', digit(1000), digit(100), digit(10), digit(1))
	buf = binary.BigEndian.AppendUint64(buf, i)
	state := mix(c.seed ^ i)
	for len(buf) < c.size {
		state = mix(state)
		buf = binary.LittleEndian.AppendUint64(buf, state)
	}
	return buf[:keySize], buf[keySize:c.size], buf
}

// mix spreads every bit of x over all bits of the result (a permutation of 64
// bits: two multiplications with odd constants and three shifts).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// indexOf reads the index out of a value that was read back.
func indexOf(value []byte) (uint64, error) {
	if len(value) < indexSize {
		return 0, fmt.Errorf("a value of %d bytes, which is none of this demo's", len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// difference says where a record that was read back differs from record i.
func (c *content) difference(buf []byte, i uint64, key, value []byte) (grown []byte, err error) {
	wantKey, wantValue, buf := c.fill(buf, i)
	if !bytes.Equal(key, wantKey) {
		return buf, fmt.Errorf("record %d has the key %q instead of %q", i, key, wantKey)
	}
	if bytes.Equal(value, wantValue) {
		return buf, nil
	}
	if len(value) != len(wantValue) {
		return buf, fmt.Errorf("record %d has %d bytes of value instead of %d", i, len(value), len(wantValue))
	}
	at := 0
	for value[at] == wantValue[at] {
		at++
	}
	return buf, fmt.Errorf("record %d differs from byte %d of its value on", i, at)
}
