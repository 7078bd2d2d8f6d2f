package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ID names one record: each producer numbers its records to each partition
// from 0, in the order in which it sends them.
type ID struct {
	Producer  uint32
	Partition uint32
	Number    uint64
}

func (id ID) String() string {
	return fmt.Sprintf("record %d of producer %d to partition %d", id.Number, id.Producer, id.Partition)
}

// MinValue is the size of the smallest value, in bytes.
const MinValue = 16

// Value returns a record's value of the given size, at least MinValue: its id,
// and bytes that follow from the id, so that damage anywhere shows.
func (id ID) Value(size int) []byte {
	b := make([]byte, MinValue, max(size, MinValue))
	binary.BigEndian.PutUint32(b, id.Producer)
	binary.BigEndian.PutUint32(b[4:], id.Partition)
	binary.BigEndian.PutUint64(b[8:], id.Number)
	state := uint64(id.Producer)<<48 ^ uint64(id.Partition)<<40 ^ id.Number
	for len(b) < cap(b) {
		state = mix(state)
		var word [8]byte
		binary.BigEndian.PutUint64(word[:], state)
		b = append(b, word[:min(8, cap(b)-len(b))]...)
	}
	return b
}

// mix is the output function of SplitMix64 after one step of its state.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// errDamaged is returned for a value that ID.Value did not make.
var errDamaged = errors.New("value is not what any producer sent")

// Parse reads the id out of a value and checks every byte of it.
func Parse(value []byte) (ID, error) {
	if len(value) < MinValue {
		return ID{}, fmt.Errorf("%d bytes: %w", len(value), errDamaged)
	}
	id := ID{
		Producer:  binary.BigEndian.Uint32(value),
		Partition: binary.BigEndian.Uint32(value[4:]),
		Number:    binary.BigEndian.Uint64(value[8:]),
	}
	if !bytes.Equal(value, id.Value(len(value))) {
		return id, fmt.Errorf("%v: %w", id, errDamaged)
	}
	return id, nil
}
