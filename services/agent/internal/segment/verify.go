package segment

import (
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/proto/batch"
)

// Verify checks a whole object: its header and footer, that the batches lie
// between them without a gap, and that each is sound and the one that the
// footer describes. It does not decompress. States alias object.
func Verify(object []byte) (*Footer, error) {
	if _, err := ParseHeader(object); err != nil {
		return nil, err
	}
	size, err := ParseTrailer(object)
	if err != nil {
		return nil, err
	}
	if size > len(object)-HeaderSize {
		return nil, fmt.Errorf("%w: a footer of %d bytes does not fit in an object of %d", ErrCorrupt, size, len(object))
	}
	f, err := ParseFooter(object[len(object)-size:])
	if err != nil {
		return nil, err
	}
	rest := object[HeaderSize : len(object)-size]
	at := HeaderSize
	for i := range f.Sections {
		s := &f.Sections[i]
		if err := verifySection(rest, at, s); err != nil {
			return nil, err
		}
		rest, at = rest[s.Size:], at+int(s.Size)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes before its footer are in no section", ErrCorrupt, len(rest))
	}
	return f, nil
}

// BatchError is returned by Verify for a batch that is not what was written.
type BatchError struct {
	Topic, Partition uint32
	// Index counts the batches of the section before this one, and Before their
	// records.
	Index  int
	Before uint64
	// At is where the batch begins in the object.
	At  int
	Err error
}

// Error implements error.
func (e *BatchError) Error() string {
	return fmt.Sprintf("batch %d of topic %d partition %d, at byte %d: %v", e.Index, e.Topic, e.Partition, e.At, e.Err)
}

// Unwrap returns what is wrong.
func (e *BatchError) Unwrap() error { return e.Err }

// verifySection checks the batches with which rest, the object from byte at
// on, starts.
func verifySection(rest []byte, at int, s *Section) error {
	before := uint64(0)
	for i := range s.Batches {
		b := &s.Batches[i]
		if err := verifyBatch(rest, b); err != nil {
			return &BatchError{Topic: s.Topic, Partition: s.Partition, Index: i, Before: before, At: at, Err: err}
		}
		rest, at, before = rest[b.Size:], at+int(b.Size), before+uint64(b.Records)
	}
	return nil
}

func verifyBatch(rest []byte, b *Batch) error {
	if int64(b.Size) > int64(len(rest)) {
		return fmt.Errorf("%w: it is cut off", ErrCorrupt)
	}
	h, err := batch.Check(rest[:b.Size])
	if err != nil {
		return fmt.Errorf("%w: %w", kind(err), err)
	}
	if describe(&h) != *b {
		return fmt.Errorf("%w: it is not the one in the footer", ErrCorrupt)
	}
	return nil
}

// kind tells what a batch that cannot be read makes of its segment.
func kind(err error) error {
	if errors.Is(err, batch.ErrTooNew) {
		return ErrTooNew
	}
	return ErrCorrupt
}

func describe(h *batch.Header) Batch {
	return Batch{
		Size: h.Size, Records: h.Records, CRC: h.CRC,
		ProducerID: h.ProducerID, Sequence: h.Sequence, MaxTimestamp: h.MaxTimestamp,
	}
}
