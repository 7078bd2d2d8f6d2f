package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// A merged object is read in pieces, for it may be larger than memory: first its
// end, in which the footer should be, then whole batches.
const (
	tailBytes  = 256 << 10
	pieceBytes = 8 << 20
)

// read reads the object, or its footer alone, and its merge's row. That row goes
// after the object, so it is read last.
func (m *merged) read(ctx context.Context, rows meta.Store, objects objstore.Store) {
	defer close(m.done)
	if m.footer, m.err = readFooter(ctx, objects, m.key, m.size); m.err == nil && !m.known {
		m.err = readBatches(ctx, objects, m.key, m.session, m.footer)
	}
	if m.err != nil {
		return
	}
	row := &meta.Merge{Session: m.session, Number: m.number}
	switch err := rows.Get(ctx, row); {
	case err == nil:
		m.row = row
	case !errors.Is(err, meta.ErrNotFound):
		m.err = fmt.Errorf("read the merge row of object %s: %w", m.key, err)
	}
}

// readFooter reads the footer of an object of which the size is known.
func readFooter(ctx context.Context, objects objstore.Store, key string, size int64) (*segment.Footer, error) {
	if size < segment.HeaderSize+segment.TrailerSize {
		return nil, &objectError{0, fmt.Errorf("%w: %d bytes are too few", segment.ErrCorrupt, size)}
	}
	n := min(size, tailBytes)
	tail, err := objects.Get(ctx, key, size-n, n)
	if err != nil {
		return nil, err
	}
	length, err := segment.ParseTrailer(tail)
	if err != nil {
		return nil, &objectError{size - segment.TrailerSize, err}
	}
	at := size - int64(length)
	if at < segment.HeaderSize {
		return nil, &objectError{0, fmt.Errorf("%w: a footer of %d bytes does not fit in an object of %d", segment.ErrCorrupt, length, size)}
	}
	if int64(length) > n {
		if tail, err = objects.Get(ctx, key, at, int64(length)); err != nil {
			return nil, err
		}
	}
	f, err := segment.ParseFooter(tail[len(tail)-length:])
	if err != nil {
		return nil, &objectError{at, err}
	}
	end := int64(segment.HeaderSize)
	for i := range f.Sections {
		end += int64(f.Sections[i].Size)
	}
	if end != at {
		return nil, &objectError{at, fmt.Errorf("%w: its sections end at byte %d, and its footer begins at %d", segment.ErrCorrupt, end, at)}
	}
	return f, nil
}

// piece is some batches that stand side by side.
type piece struct {
	at, end int64
	batches []pieceBatch
}

type pieceBatch struct {
	section *segment.Section
	index   int
	before  uint64 // records of the section
}

// readBatches checks an object's header and all batches.
func readBatches(ctx context.Context, objects objstore.Store, key, session string, f *segment.Footer) error {
	head, err := objects.Get(ctx, key, 0, segment.HeaderSize)
	if err != nil {
		return err
	}
	if err := checkHeader(head, session); err != nil {
		return err
	}
	p := piece{at: segment.HeaderSize, end: segment.HeaderSize}
	for i := range f.Sections {
		s, before := &f.Sections[i], uint64(0)
		for j := range s.Batches {
			b := &s.Batches[j]
			if p.end > p.at && p.end-p.at+int64(b.Size) > pieceBytes {
				if err := p.check(ctx, objects, key); err != nil {
					return err
				}
				p = piece{at: p.end, end: p.end, batches: p.batches[:0]}
			}
			p.batches = append(p.batches, pieceBatch{s, j, before})
			p.end += int64(b.Size)
			before += uint64(b.Records)
		}
	}
	return p.check(ctx, objects, key)
}

// check reads the piece and holds its batches against the footer.
func (p *piece) check(ctx context.Context, objects objstore.Store, key string) error {
	if p.end == p.at {
		return nil
	}
	rest, err := objects.Get(ctx, key, p.at, p.end-p.at)
	if err != nil {
		return err
	}
	at := p.at
	for _, b := range p.batches {
		want := &b.section.Batches[b.index]
		if err := checkBatch(rest[:want.Size], want); err != nil {
			return &segment.BatchError{
				Topic: b.section.Topic, Partition: b.section.Partition, Index: b.index, Before: b.before, At: int(at), Err: err,
			}
		}
		rest, at = rest[want.Size:], at+int64(want.Size)
	}
	return nil
}

func checkBatch(stored []byte, want *segment.Batch) error {
	h, err := batch.Check(stored)
	if err != nil {
		return fmt.Errorf("%w: %w", segment.ErrCorrupt, err)
	}
	got := segment.Batch{
		Size: h.Size, Records: h.Records, CRC: h.CRC, ProducerID: h.ProducerID, Sequence: h.Sequence, MaxTimestamp: h.MaxTimestamp,
	}
	if got != *want {
		return fmt.Errorf("%w: it is not the one in the footer", segment.ErrCorrupt)
	}
	return nil
}
