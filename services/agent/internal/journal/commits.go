package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Commit is what one segment appends to one partition.
type Commit struct {
	Topic, Partition uint32
	// Epoch is that of the tenure in which the batches were taken; the commit
	// counts for no other (R5).
	Epoch uint64
	// Base is the offset of the first record; Records follow without gaps.
	Base    uint64
	Records uint32
	// Size is the length of the partition's section in the segment. Sections
	// stand in the order of the commits, from segment.HeaderSize on.
	Size uint32
	// State says that the section's footer carries the retry state of all the
	// partition's producers.
	State bool
}

// MaxCommits bounds how many commits a row can hold, over all its segments:
// what fits DynamoDB's item limit of 400 KB at 24 bytes each, with room for the
// rest of the row. A row with more would stand, and could not be read.
const MaxCommits = 1 << 14

// MaxSegments bounds how many segments a row can name, for the same reason: a
// segment's key and size take some 100 bytes.
const MaxSegments = 64

// ErrCorrupt is returned for packed commits that cannot be read.
var ErrCorrupt = errors.New("corrupt journal row")

// AppendCommits packs commits, which are sorted by topic and partition. Each
// takes at most 24 bytes while topic ids stay below 2^21, partitions below
// 2^14, epochs below 2^28 and offsets below 2^49: DynamoDB bills by the KB.
func AppendCommits(dst []byte, commits []Commit) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(commits)))
	var last Commit
	for i := range commits {
		c := &commits[i]
		partition := c.Partition
		if c.Topic == last.Topic {
			partition -= last.Partition
		}
		dst = binary.AppendUvarint(dst, uint64(c.Topic-last.Topic))
		dst = binary.AppendUvarint(dst, uint64(partition))
		dst = binary.AppendUvarint(dst, c.Epoch)
		dst = binary.AppendUvarint(dst, c.Base)
		dst = binary.AppendUvarint(dst, uint64(c.Records))
		dst = binary.AppendUvarint(dst, sizeAndState(c))
		last = *c
	}
	return dst
}

func sizeAndState(c *Commit) uint64 {
	v := uint64(c.Size) << 1
	if c.State {
		v |= 1
	}
	return v
}

// ParseCommits reads what AppendCommits wrote.
func ParseCommits(b []byte) ([]Commit, error) {
	r := reader{b: b}
	n := r.uvarint(MaxCommits)
	if r.err != nil || n > uint64(len(b)) {
		return nil, fmt.Errorf("read commits: %w", ErrCorrupt)
	}
	commits := make([]Commit, 0, n)
	var last Commit
	for range n {
		c := r.commit(last)
		if r.err != nil {
			return nil, fmt.Errorf("read commits: %w", r.err)
		}
		commits = append(commits, c)
		last = c
	}
	if len(r.b) > 0 {
		return nil, fmt.Errorf("read commits: %w: %d bytes too many", ErrCorrupt, len(r.b))
	}
	return commits, nil
}

// reader reads varints; after the first fault it only returns zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.err != nil || n <= 0 || v > limit {
		r.err = ErrCorrupt
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) commit(last Commit) Commit {
	topic := uint64(last.Topic) + r.uvarint(math.MaxUint32)
	partition := r.uvarint(math.MaxUint32)
	if topic == uint64(last.Topic) {
		partition += uint64(last.Partition)
	}
	c := Commit{
		Topic: uint32(topic), Partition: uint32(partition),
		Epoch: r.uvarint(math.MaxUint64), Base: r.uvarint(math.MaxUint64),
		Records: uint32(r.uvarint(math.MaxUint32)),
	}
	size := r.uvarint(math.MaxUint32<<1 | 1)
	c.Size, c.State = uint32(size>>1), size&1 == 1
	if topic > math.MaxUint32 || partition > math.MaxUint32 || c.Base > math.MaxUint64-uint64(c.Records) {
		r.err = ErrCorrupt
	}
	return c
}
