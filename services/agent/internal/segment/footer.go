package segment

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

const (
	// TrailerSize is how many bytes at a segment's end ParseTrailer needs.
	TrailerSize  = 16
	trailerMagic = "SHSF"
)

// The most that parts of a footer take, which spares AppendFooter to grow.
const (
	footerBound  = 10 + 5 + 10 + TrailerSize
	sectionBound = 5 + 5 + 10 + 10
	batchBound   = 5 + 5 + 4 + 1 + 8 + 10 + 10
)

// predicted is what the next batch is likely to say; only the difference is
// written.
type predicted struct {
	producer, sequence uint64
	time               int64
}

// section starts a new section: sequences count for each partition alone.
func (p *predicted) section() { p.sequence = 0 }

// changed takes the next batch's producer.
func (p *predicted) changed(producer uint64) { p.producer, p.sequence = producer, 0 }

// after learns from a batch.
func (p *predicted) after(b *Batch) { p.sequence, p.time = b.Sequence+1, b.MaxTimestamp }

// AppendFooter appends the footer and the trailer to dst, and allocates at
// most once. A section holds less than 4 GiB and 2^32 records, for both are
// counted in 32 bits everywhere. AppendFooter panics at what ParseFooter would
// refuse, such as sections that are not sorted or too large: it could be
// committed, but not read.
func AppendFooter(dst []byte, f *Footer) []byte {
	start, batches, size := len(dst), 0, footerBound
	for i := range f.Sections {
		batches += len(f.Sections[i].Batches)
		size += sectionBound + len(f.Sections[i].State)
	}
	dst = slices.Grow(dst, size+batches*batchBound)
	dst = binary.AppendUvarint(dst, f.Number)
	dst = binary.AppendUvarint(dst, uint64(len(f.Sections)))
	dst = binary.AppendUvarint(dst, uint64(batches))

	var p predicted
	topic, partition := uint32(0), int64(-1)
	for i := range f.Sections {
		s := &f.Sections[i]
		if s.Topic != topic {
			partition = -1
		}
		if s.Topic < topic || int64(s.Partition) <= partition {
			panic(fmt.Sprintf("segment: topic %d partition %d is not in its place", s.Topic, s.Partition))
		}
		dst = binary.AppendUvarint(dst, uint64(s.Topic-topic))
		dst = binary.AppendUvarint(dst, uint64(int64(s.Partition)-partition-1))
		dst = appendSection(dst, s, &p)
		topic, partition = s.Topic, int64(s.Partition)
	}
	return appendTrailer(dst, start, f.Version)
}

func appendSection(dst []byte, s *Section, p *predicted) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.Batches)))
	p.section()
	var size, records uint64
	for i := range s.Batches {
		b := &s.Batches[i]
		if !possible(uint64(b.Size), uint64(b.Records)) {
			panic(fmt.Sprintf("segment: a batch of %d bytes and %d records", b.Size, b.Records))
		}
		size += uint64(b.Size)
		records += uint64(b.Records)
		dst = appendBatch(dst, b, p)
	}
	if size > math.MaxUint32 || records > math.MaxUint32 {
		panic(fmt.Sprintf("segment: topic %d partition %d has %d bytes and %d records", s.Topic, s.Partition, size, records))
	}
	if s.State == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.State))+1)
	return append(dst, s.State...)
}

func appendBatch(dst []byte, b *Batch, p *predicted) []byte {
	dst = binary.AppendUvarint(dst, uint64(b.Size))
	dst = binary.AppendUvarint(dst, uint64(b.Records))
	dst = binary.LittleEndian.AppendUint32(dst, b.CRC)
	if b.ProducerID == p.producer {
		dst = append(dst, 0)
	} else {
		dst = append(dst, 1)
		dst = binary.LittleEndian.AppendUint64(dst, b.ProducerID)
		p.changed(b.ProducerID)
	}
	dst = binary.AppendVarint(dst, int64(b.Sequence-p.sequence))
	dst = binary.AppendVarint(dst, b.MaxTimestamp-p.time)
	p.after(b)
	return dst
}

// appendTrailer ends the footer that starts at start. Its CRC covers all of
// the footer that stands before the CRC.
func appendTrailer(dst []byte, start, v int) []byte {
	size := len(dst) - start + TrailerSize
	if size > math.MaxUint32 {
		panic(fmt.Sprintf("segment: a footer of %d bytes", size))
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
	dst = binary.LittleEndian.AppendUint16(dst, versionOf(v))
	dst = binary.LittleEndian.AppendUint16(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, Update(0, dst[start:]))
	return append(dst, trailerMagic...)
}

// ParseTrailer returns the size of the footer, trailer included, of the
// segment that ends with tail: as many last bytes of the segment as it says
// are what ParseFooter takes. The size is not under a CRC yet, so compare it
// with the object's before reading so much.
func ParseTrailer(tail []byte) (footerSize int, err error) {
	if len(tail) < TrailerSize {
		return 0, fmt.Errorf("%w: %d bytes, and the trailer alone takes %d", ErrCorrupt, len(tail), TrailerSize)
	}
	t := tail[len(tail)-TrailerSize:]
	if string(t[12:]) != trailerMagic {
		return 0, fmt.Errorf("%w: ends with %q instead of %q", ErrCorrupt, t[12:], trailerMagic)
	}
	if err := checkVersion(t[4:]); err != nil {
		return 0, err
	}
	size := binary.LittleEndian.Uint32(t)
	if size < TrailerSize {
		return 0, fmt.Errorf("%w: a footer of %d bytes", ErrCorrupt, size)
	}
	return int(size), nil
}
