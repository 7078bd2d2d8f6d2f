// Package segment is the format of the objects that an agent writes: one flush
// makes one segment, which holds batches of many partitions, grouped by
// partition, and ends with an index of them. A segment can so be listed and
// checked with no database. docs/formats.md describes every byte.
//
// Offsets are not in it: the journal row that commits a segment assigns them.
//
// The package is pure: no I/O, no clock, no goroutine. Its functions are safe
// for concurrent use.
package segment

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/format"
)

const (
	// HeaderSize is where the first section starts, in bytes.
	HeaderSize = 32

	headerMagic = "SHSEGMNT"
)

// Errors that reading returns, wrapped with what was wrong.
var (
	// ErrCorrupt is returned when the bytes are no segment, or a damaged one.
	ErrCorrupt = errors.New("corrupt segment")
	// ErrTooNew is returned when a newer program wrote the segment.
	ErrTooNew = errors.New("segment of a newer format")
)

// Header is how a segment begins.
type Header struct {
	// Session is the id of the session that wrote it: 32 lower-case
	// hexadecimal digits.
	Session string
	// Version to write, 0 for the oldest. ParseHeader does not set it.
	Version int
}

// Batch is what the footer knows of one batch: where it is follows from the
// sizes before it, and the rest recognises a producer's retry.
type Batch struct {
	// Size is that of the stored batch in bytes.
	Size, Records uint32
	// CRC is the one in the batch's header.
	CRC                  uint32
	ProducerID, Sequence uint64
	// MaxTimestamp is in milliseconds since the epoch.
	MaxTimestamp int64
}

// Section is one partition's part of a segment.
type Section struct {
	// Topic is the topic's id.
	Topic, Partition uint32
	// Size in bytes and Records are the sums over Batches. ParseFooter sets
	// them; AppendFooter does not read them, so they cannot disagree.
	Size, Records uint32
	// Batches stand in the order of their offsets, without gaps.
	Batches []Batch
	// State is the retry state of all the partition's producers, opaque here;
	// nil where this segment does not carry it.
	State []byte
}

// Footer is the index of a segment.
type Footer struct {
	// Version to write, 0 for the oldest. ParseFooter does not set it.
	Version int
	// Number counts its session's objects, from 0.
	Number uint64
	// Sections are sorted by topic, then partition, each pair once. They follow
	// each other from HeaderSize on, without gaps.
	Sections []Section
}

// AppendHeader appends a header to dst. It fails where the session's id is
// none.
func AppendHeader(dst []byte, h Header) ([]byte, error) {
	session, err := hex.DecodeString(h.Session)
	if err != nil || len(session) != 16 || hex.EncodeToString(session) != h.Session {
		return dst, fmt.Errorf("session id %q: want 32 lower-case hexadecimal digits", h.Session)
	}
	dst = append(dst, headerMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, versionOf(h.Version))
	dst = binary.LittleEndian.AppendUint16(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, Update(0, session))
	return append(dst, session...), nil
}

// ParseHeader reads the header with which b starts.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes, and the header alone takes %d", ErrCorrupt, len(b), HeaderSize)
	}
	if string(b[:8]) != headerMagic {
		return Header{}, fmt.Errorf("%w: starts with %q instead of %q", ErrCorrupt, b[:8], headerMagic)
	}
	if err := checkVersion(b[8:]); err != nil {
		return Header{}, err
	}
	if crc := binary.LittleEndian.Uint32(b[12:]); crc != Update(0, b[16:HeaderSize]) {
		return Header{}, fmt.Errorf("%w: CRC-32C of the header is not %08x, as it says", ErrCorrupt, crc)
	}
	return Header{Session: hex.EncodeToString(b[16:HeaderSize])}, nil
}

// versionOf is a version as it is written.
func versionOf(v int) uint16 { return uint16(cmp.Or(v, format.Oldest)) }

// checkVersion reads a version and flags, which stand together wherever they
// stand.
func checkVersion(b []byte) error {
	v, flags := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
	switch {
	case int(v) > format.Reads():
		return fmt.Errorf("%w: version %d, and this program reads up to %d: upgrade it", ErrTooNew, v, format.Reads())
	case v == 0:
		return fmt.Errorf("%w: version 0", ErrCorrupt)
	case flags != 0:
		return fmt.Errorf("%w: flags %#x, which this program does not know: upgrade it", ErrTooNew, flags)
	}
	return nil
}
