package batch

import (
	"encoding/binary"
	"fmt"
)

const (
	magic   = "SHBT"
	version = 1
	// minRecord is the least that a record takes in a payload: one byte each
	// for its timestamp, key length, value length and header count.
	minRecord = 4
)

// Header is what a batch says about itself.
type Header struct {
	// CRC is that of all bytes from ChecksumFrom on.
	CRC   uint32
	Codec Codec
	// Size is that of the whole stored batch, header included; PayloadSize
	// that of the payload before compression. Both in bytes.
	Size, PayloadSize uint32
	Records           uint32
	// ProducerID is 0 for a batch without idempotence; Sequence counts a
	// producer's batches in this partition from 0.
	ProducerID, Sequence uint64
	// BaseTimestamp is the first record's, MaxTimestamp the latest of all, in
	// milliseconds since the epoch. They are the producer's word.
	BaseTimestamp, MaxTimestamp int64
}

// ParseHeader reads and checks the header with which b starts; b may end with
// it. It cannot check the CRC; Check does.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes, and the header alone takes %d", ErrCorrupt, len(b), HeaderSize)
	}
	if err := checkFormat(b); err != nil {
		return Header{}, err
	}
	h := Header{
		CRC:           binary.LittleEndian.Uint32(b[4:]),
		Codec:         Codec(b[9]),
		Size:          binary.LittleEndian.Uint32(b[12:]),
		PayloadSize:   binary.LittleEndian.Uint32(b[16:]),
		Records:       binary.LittleEndian.Uint32(b[20:]),
		ProducerID:    binary.LittleEndian.Uint64(b[24:]),
		Sequence:      binary.LittleEndian.Uint64(b[32:]),
		BaseTimestamp: int64(binary.LittleEndian.Uint64(b[40:])),
		MaxTimestamp:  int64(binary.LittleEndian.Uint64(b[48:])),
	}
	if err := h.check(); err != nil {
		return Header{}, err
	}
	return h, nil
}

// checkFormat refuses what is no batch, and what only a newer program reads.
func checkFormat(b []byte) error {
	if string(b[:4]) != magic {
		return fmt.Errorf("%w: starts with %q instead of %q", ErrCorrupt, b[:4], magic)
	}
	if v := b[8]; v > version {
		return fmt.Errorf("%w: version %d, and this program reads up to %d: upgrade it", ErrTooNew, v, version)
	} else if v == 0 {
		return fmt.Errorf("%w: version 0", ErrCorrupt)
	}
	if c := Codec(b[9]); c > S2 {
		return fmt.Errorf("%w: compression %d, which this program does not know: upgrade it", ErrTooNew, c)
	}
	if f := binary.LittleEndian.Uint16(b[10:]); f != 0 {
		return fmt.Errorf("%w: flags %#x, which this program does not know: upgrade it", ErrTooNew, f)
	}
	return nil
}

// check refuses numbers that cannot all be true.
func (h *Header) check() error {
	switch {
	case h.Size > MaxSize:
		return fmt.Errorf("%w: %d bytes, and the limit is %d", ErrTooLarge, h.Size, MaxSize)
	case h.PayloadSize > MaxSize-HeaderSize:
		return fmt.Errorf("%w: %d bytes of payload uncompressed, and the limit is %d", ErrTooLarge, h.PayloadSize, MaxSize-HeaderSize)
	case h.Size <= HeaderSize:
		return fmt.Errorf("%w: size %d leaves no room for a payload", ErrCorrupt, h.Size)
	case h.Codec == None && h.Size != HeaderSize+h.PayloadSize:
		return fmt.Errorf("%w: size %d and payload size %d of an uncompressed batch disagree", ErrCorrupt, h.Size, h.PayloadSize)
	case h.Records == 0:
		return fmt.Errorf("%w: no records", ErrCorrupt)
	case h.Records > h.PayloadSize/minRecord:
		return fmt.Errorf("%w: %d records cannot fit in %d bytes", ErrCorrupt, h.Records, h.PayloadSize)
	case h.MaxTimestamp < h.BaseTimestamp:
		return fmt.Errorf("%w: max timestamp %d before base timestamp %d", ErrCorrupt, h.MaxTimestamp, h.BaseTimestamp)
	}
	return nil
}

// Check reads the header of b and verifies its CRC. b is exactly one stored
// batch. What is in the payload is for a Decoder to check.
func Check(b []byte) (Header, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Header{}, err
	}
	if len(b) != int(h.Size) {
		return Header{}, fmt.Errorf("%w: %d bytes, and its header says %d", ErrCorrupt, len(b), h.Size)
	}
	if crc := Update(0, b[ChecksumFrom:]); crc != h.CRC {
		return Header{}, fmt.Errorf("%w: CRC-32C is %08x, and its header says %08x", ErrCorrupt, crc, h.CRC)
	}
	return h, nil
}

// put writes the header to the first HeaderSize bytes of b, which is the whole
// batch, and completes it with the CRC; h.CRC is ignored.
func (h *Header) put(b []byte) {
	copy(b, magic)
	b[8] = version
	b[9] = byte(h.Codec)
	binary.LittleEndian.PutUint16(b[10:], 0)
	binary.LittleEndian.PutUint32(b[12:], h.Size)
	binary.LittleEndian.PutUint32(b[16:], h.PayloadSize)
	binary.LittleEndian.PutUint32(b[20:], h.Records)
	binary.LittleEndian.PutUint64(b[24:], h.ProducerID)
	binary.LittleEndian.PutUint64(b[32:], h.Sequence)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.BaseTimestamp))
	binary.LittleEndian.PutUint64(b[48:], uint64(h.MaxTimestamp))
	binary.LittleEndian.PutUint32(b[4:], Update(0, b[ChecksumFrom:]))
}
