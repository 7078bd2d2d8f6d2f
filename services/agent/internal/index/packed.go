package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// ErrCorrupt is returned for an index row, or a merge, that cannot be read.
var ErrCorrupt = errors.New("corrupt index row")

// Block is a piece of a run: whole batches that follow each other.
type Block struct {
	Records uint32
	// Size is that of its batches in bytes.
	Size uint32
	// MaxTimestamp is the latest of its records', in ms since the epoch.
	MaxTimestamp int64
}

// AppendBlocks packs blocks as meta.Run holds them.
func AppendBlocks(dst []byte, blocks []Block) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(blocks)))
	last := int64(0)
	for _, b := range blocks {
		dst = binary.AppendUvarint(dst, uint64(b.Records))
		dst = binary.AppendUvarint(dst, uint64(b.Size))
		dst = binary.AppendVarint(dst, b.MaxTimestamp-last)
		last = b.MaxTimestamp
	}
	return dst
}

// ParseBlocks reads what AppendBlocks wrote.
func ParseBlocks(b []byte) ([]Block, error) {
	r := packed{b: b}
	blocks := make([]Block, 0, r.count(3))
	last := int64(0)
	for range cap(blocks) {
		block := Block{Records: uint32(r.uvarint(math.MaxUint32)), Size: uint32(r.uvarint(math.MaxUint32))}
		last += r.varint()
		block.MaxTimestamp = last
		blocks = append(blocks, block)
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("read blocks: %w", err)
	}
	return blocks, nil
}

// Ranges are the blocks of an index row. It fails where they are not what the
// row says.
func Ranges(row *meta.Run) ([]Range, error) {
	blocks, err := ParseBlocks(row.Blocks)
	if err != nil {
		return nil, err
	}
	object := &Segment{Key: row.Object, Size: row.Size}
	ranges := make([]Range, len(blocks))
	base, at := row.Base, row.At
	for i, b := range blocks {
		if at+uint64(b.Size) > math.MaxUint32 || b.Records == 0 {
			return nil, fmt.Errorf("%w: one of its blocks has %d records in %d bytes at %d", ErrCorrupt, b.Records, b.Size, at)
		}
		ranges[i] = Range{Base: base, Records: b.Records, At: uint32(at), Size: b.Size, Segment: object, MaxTimestamp: b.MaxTimestamp}
		base += uint64(b.Records)
		at += uint64(b.Size)
	}
	if base != row.Last+1 || len(blocks) == 0 || at > uint64(row.Size) {
		return nil, fmt.Errorf("%w: it reaches from offset %d to %d, and its blocks to %d, byte %d of %d", ErrCorrupt, row.Base, row.Last, base, at, row.Size)
	}
	return ranges, nil
}

// Part is a run of one partition in a merge.
type Part struct {
	Topic, Partition uint32
	// Compaction is the id under which the index knows it.
	Compaction uint64
	Base       uint64
	Records    uint64
}

// End is the offset behind the part's last record.
func (p *Part) End() uint64 { return p.Base + p.Records }

// MaxParts bounds how many parts a merge can have, so that its row fits in
// DynamoDB's 400 KB.
const MaxParts = 4096

// AppendParts packs parts as meta.Merge holds them. Each takes some 25 bytes.
func AppendParts(dst []byte, parts []Part) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(parts)))
	for i := range parts {
		p := &parts[i]
		dst = binary.AppendUvarint(dst, uint64(p.Topic))
		dst = binary.AppendUvarint(dst, uint64(p.Partition))
		dst = binary.LittleEndian.AppendUint64(dst, p.Compaction)
		dst = binary.AppendUvarint(dst, p.Base)
		dst = binary.AppendUvarint(dst, p.Records)
	}
	return dst
}

// ParseParts reads what AppendParts wrote.
func ParseParts(b []byte) ([]Part, error) {
	r := packed{b: b}
	parts := make([]Part, 0, r.count(12))
	for range cap(parts) {
		p := Part{Topic: uint32(r.uvarint(math.MaxUint32)), Partition: uint32(r.uvarint(math.MaxUint32)), Compaction: r.uint64()}
		p.Base = r.uvarint(math.MaxUint64)
		p.Records = r.uvarint(math.MaxUint64 - p.Base)
		parts = append(parts, p)
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("read parts: %w", err)
	}
	return parts, nil
}

// packed reads numbers; after the first fault it only returns zeros.
type packed struct {
	b   []byte
	bad bool
}

// count is how many entries follow, of which each takes least bytes.
func (r *packed) count(least int) int { return int(r.uvarint(uint64(len(r.b) / least))) }

func (r *packed) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || v > limit {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *packed) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *packed) uint64() uint64 {
	if r.bad || len(r.b) < 8 {
		r.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *packed) end() error {
	if r.bad || len(r.b) > 0 {
		return ErrCorrupt
	}
	return nil
}
