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
	for i := range f.Sections {
		if rest, err = verifySection(rest, &f.Sections[i]); err != nil {
			return nil, err
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes before its footer are in no section", ErrCorrupt, len(rest))
	}
	return f, nil
}

// verifySection checks the batches with which rest starts, and returns what
// follows them.
func verifySection(rest []byte, s *Section) ([]byte, error) {
	for i := range s.Batches {
		b := &s.Batches[i]
		if int64(b.Size) > int64(len(rest)) {
			return nil, fmt.Errorf("%w: batch %d of topic %d partition %d is cut off", ErrCorrupt, i, s.Topic, s.Partition)
		}
		h, err := batch.Check(rest[:b.Size])
		if err != nil {
			return nil, fmt.Errorf("%w: batch %d of topic %d partition %d: %w", kind(err), i, s.Topic, s.Partition, err)
		}
		if describe(&h) != *b {
			return nil, fmt.Errorf("%w: batch %d of topic %d partition %d is not the one in the footer", ErrCorrupt, i, s.Topic, s.Partition)
		}
		rest = rest[b.Size:]
	}
	return rest, nil
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
