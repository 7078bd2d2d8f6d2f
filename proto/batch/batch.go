// Package batch is the format in which records travel and rest: the records of
// one partition that a producer sends, compresses and numbers together. The
// producer library encodes a batch once, the agent checks its header and CRC
// and stores the bytes as they came, and a reader gets them back unchanged.
// docs/formats.md describes every byte.
//
// The package is pure: no I/O, no clock, no goroutine. Its functions are safe
// for concurrent use; a Builder or a Decoder belongs to one goroutine at a
// time.
package batch

import (
	"errors"
	"hash/crc32"
)

const (
	// HeaderSize is the number of bytes before the payload.
	HeaderSize = 56
	// MaxSize limits, in bytes, both the stored batch and its header plus the
	// uncompressed payload. It leaves 1 MiB of gRPC's 16 MiB message for what
	// else the message holds, and bounds what a decoder allocates however well
	// a payload was compressed.
	MaxSize = 15 << 20
	// MaxHeaders limits the headers of one record. A header takes 2 bytes in a
	// batch and 40 in memory, so without a limit one hostile batch of MaxSize
	// would cost its decoder 300 MiB.
	MaxHeaders = 1 << 16
	// ChecksumFrom is the first byte that a batch's CRC covers; it covers all
	// from there on.
	ChecksumFrom = 8
)

// Errors that decoding returns, wrapped with what was wrong.
var (
	// ErrCorrupt is returned when the bytes are no batch, or a damaged one.
	ErrCorrupt = errors.New("corrupt batch")
	// ErrTooNew is returned when a newer program wrote the batch.
	ErrTooNew = errors.New("batch of a newer format")
	// ErrTooLarge is returned when a batch exceeds MaxSize, or one of its
	// records MaxHeaders.
	ErrTooLarge = errors.New("batch too large")
)

// Record is one entry of a log.
type Record struct {
	// Key and Value may be nil (null), which differs from empty.
	Key, Value []byte
	// Headers keep their order; names may repeat.
	Headers []RecordHeader
	// Timestamp is in milliseconds since the epoch.
	Timestamp int64
}

// RecordHeader is one annotation of a record. Its Value may be nil (null).
type RecordHeader struct {
	Key   string
	Value []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Update continues a CRC-32C, which starts at 0, over p. The CRC of a batch is
// that of its bytes from ChecksumFrom on.
func Update(crc uint32, p []byte) uint32 { return crc32.Update(crc, castagnoli, p) }
