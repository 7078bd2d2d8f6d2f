package segment

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/streamhouse/streamhouse/proto/batch"
)

// The least that parts of a footer take, which bounds how many there can be.
const (
	minSection = 4 // topic, partition, batch count, state
	minBatch   = 9 // size, records, CRC, producer mark, sequence, timestamp
)

// ParseFooter reads a footer, trailer included; b is exactly the bytes that
// ParseTrailer tells. States alias b. What it allocates is bounded by 16 times
// the length of b, whatever b says.
func ParseFooter(b []byte) (*Footer, error) {
	size, err := ParseTrailer(b)
	if err != nil {
		return nil, err
	}
	if len(b) != size {
		return nil, fmt.Errorf("%w: %d bytes of footer, and its trailer says %d", ErrCorrupt, len(b), size)
	}
	covered := len(b) - 8 // the CRC itself and the magic
	if crc := binary.LittleEndian.Uint32(b[covered:]); crc != Update(0, b[:covered]) {
		return nil, fmt.Errorf("%w: CRC-32C of the footer is not %08x, as it says", ErrCorrupt, crc)
	}
	p := parser{rest: b[:len(b)-TrailerSize]}
	f := p.footer()
	if p.what == "" && len(p.rest) > 0 {
		p.fail("its footer has bytes left over")
	}
	if p.what != "" {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, p.what)
	}
	return f, nil
}

// parser reads a footer. The first failure sets what, and from then on all
// reads give zeros, so that a run of reads needs one check at its end.
type parser struct {
	rest []byte
	what string
}

func (p *parser) fail(what string) {
	if p.what == "" {
		p.what = what
	}
	p.rest = nil
}

func (p *parser) footer() *Footer {
	f := &Footer{Number: p.uvarint()}
	sections, batches := p.uvarint(), p.uvarint()
	room := uint64(len(p.rest))
	if sections > room/minSection || batches > (room-sections*minSection)/minBatch {
		p.fail("its footer counts more sections or batches than it can hold")
		return nil
	}
	f.Sections = make([]Section, sections)
	flat := make([]Batch, batches)
	topic, partition := uint64(0), int64(-1)
	var next predicted
	for i := range f.Sections {
		s := &f.Sections[i]
		step := p.uvarint()
		if step > 0 {
			partition = -1
		}
		topic += min(step, math.MaxUint32+1) // neither of the two can wrap
		partition += 1 + int64(min(p.uvarint(), math.MaxUint32+1))
		if topic > math.MaxUint32 || partition > math.MaxUint32 {
			p.fail("its footer names a topic or partition that does not fit in 32 bits")
		}
		s.Topic, s.Partition = uint32(topic), uint32(partition)
		flat = p.section(s, flat, &next)
		if p.what != "" {
			return nil
		}
	}
	if len(flat) > 0 {
		p.fail("its footer counts more batches than its sections have")
	}
	return f
}

// section reads a section into s, its batches into the first of flat, and
// returns the rest of flat.
func (p *parser) section(s *Section, flat []Batch, next *predicted) []Batch {
	n := p.uvarint()
	if n > uint64(len(flat)) {
		p.fail("its footer counts fewer batches than its sections have")
		return flat
	}
	next.section()
	if n > 0 {
		s.Batches = flat[:n:n]
	}
	var size, records uint64
	for i := range s.Batches {
		b := &s.Batches[i]
		p.batch(b, next)
		size += uint64(b.Size)
		records += uint64(b.Records)
	}
	if size > math.MaxUint32 || records > math.MaxUint32 {
		p.fail("one of its sections is larger than 32 bits count")
	}
	s.Size, s.Records = uint32(size), uint32(records)
	if n := p.uvarint(); n > 0 {
		s.State = p.take(n - 1)
	}
	return flat[n:]
}

func (p *parser) batch(b *Batch, next *predicted) {
	size, records := p.uvarint(), p.uvarint()
	if !possible(size, records) {
		p.fail("its footer describes a batch that cannot be")
	}
	b.Size, b.Records = uint32(size), uint32(records)
	b.CRC = p.uint32()
	switch p.byte() {
	case 0:
	case 1:
		next.changed(p.uint64())
	default:
		p.fail("its footer marks a producer in an unknown way")
	}
	b.ProducerID = next.producer
	b.Sequence = next.sequence + uint64(p.varint())
	b.MaxTimestamp = next.time + p.varint()
	next.after(b)
}

// possible tells whether a batch can have this size and number of records.
func possible(size, records uint64) bool {
	return size > batch.HeaderSize && size <= batch.MaxSize && records > 0 && records <= batch.MaxSize
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.fail("its footer is cut off")
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.rest)
	if n <= 0 {
		p.fail("its footer is cut off")
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

// take returns the next n bytes, not nil even where n is 0, unless it fails.
func (p *parser) take(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.fail("its footer is cut off")
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) uint32() uint32 {
	if b := p.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (p *parser) uint64() uint64 {
	if b := p.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}
