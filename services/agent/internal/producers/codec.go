package producers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Errors that Parse returns, wrapped.
var (
	// ErrCorrupt is returned for a stored state that cannot be read.
	ErrCorrupt = errors.New("corrupt producer state")
	// ErrTooNew is returned for one that a newer program stored.
	ErrTooNew = errors.New("producer state of a newer format")
)

// stateVersion is the first byte of a stored state.
const stateVersion = 1

// Append writes what is committed, in the form that segment footers carry (see
// docs/formats.md). End is the partition's committed end: batches from there
// on are not in it.
func (s *State[F]) Append(dst []byte, end uint64) []byte {
	dst = append(dst, stateVersion)
	dst = binary.AppendUvarint(dst, end)
	dst = binary.AppendUvarint(dst, uint64(s.committed()))
	for id, p := range s.producers {
		if p.done > p.lo {
			dst = p.append(binary.LittleEndian.AppendUint64(dst, id))
		}
	}
	return dst
}

// committed counts the producers that have anything committed.
func (s *State[F]) committed() int {
	n := 0
	for _, p := range s.producers {
		if p.done > p.lo {
			n++
		}
	}
	return n
}

func (p *producer[F]) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, p.lo)
	dst = binary.AppendUvarint(dst, p.done-p.lo)
	last := uint64(0)
	for seq := p.lo; seq < p.done; seq++ {
		sl := p.slot(seq)
		dst = binary.LittleEndian.AppendUint32(dst, sl.crc)
		dst = binary.AppendUvarint(dst, uint64(sl.records))
		dst = binary.AppendUvarint(dst, sl.base-last)
		last = sl.base
	}
	return dst
}

// Parse reads what Append wrote. The age of every producer starts again at
// now: times of two machines are never compared.
func Parse[F any](b []byte, now time.Time) (s *State[F], end uint64, err error) {
	switch {
	case len(b) == 0 || b[0] == 0:
		return nil, 0, fmt.Errorf("read producer state: %w: it has no version", ErrCorrupt)
	case b[0] > stateVersion:
		return nil, 0, fmt.Errorf("read producer state: %w: version %d, and this program reads up to %d: upgrade it",
			ErrTooNew, b[0], stateVersion)
	}
	r := stateReader{b: b[1:]}
	end = r.uvarint(math.MaxUint64)
	s = &State[F]{}
	for range r.uvarint(uint64(len(b))) {
		id := r.bytes(8)
		if id == nil {
			break
		}
		parseProducer(&r, s, binary.LittleEndian.Uint64(id), now)
	}
	if r.bad || len(r.b) > 0 {
		return nil, 0, fmt.Errorf("read producer state: %w", ErrCorrupt)
	}
	return s, end, nil
}

func parseProducer[F any](r *stateReader, s *State[F], id uint64, now time.Time) {
	seq := r.uvarint(math.MaxUint64 - Window)
	last := uint64(0)
	for range r.uvarint(Window) {
		crc := r.bytes(4)
		records, base := r.uvarint(math.MaxUint32), r.uvarint(math.MaxUint64)
		if r.bad {
			return
		}
		last += base
		b := Batch{Producer: id, Sequence: seq, CRC: binary.LittleEndian.Uint32(crc), Records: uint32(records)}
		s.Restore(b, last, now)
		seq++
	}
}

// stateReader reads numbers; after the first fault it only returns zeros.
type stateReader struct {
	b   []byte
	bad bool
}

func (r *stateReader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || v > limit {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *stateReader) bytes(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// IDs returns the producers that are remembered, sorted.
func (s *State[F]) IDs() []uint64 {
	ids := make([]uint64, 0, len(s.producers))
	for id := range s.producers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
