// Package recovery rebuilds what an owner must know about a partition from
// what its earlier owners wrote: where the log ends, where its records lie,
// and which batches its producers may send again. It reads sealed journals
// only; nothing in them can change any more.
package recovery

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// Partition is what recovery finds for one partition row.
type Partition struct {
	Row *meta.Partition
	// End is the log's end offset.
	End uint64
	// Ranges hold all records from the checkpoint's end on.
	Ranges []index.Range
	// State knows the producers' batches up to End.
	State *flush.State
	// EndSeq is behind the last row of the owner's journal.
	EndSeq uint64
	// Err is why the partition could not be recovered; the others were all the
	// same.
	Err error
}

// Run recovers partitions whose rows were read after the sessions that they
// name were sealed, or had released them. Each journal and each footer is read
// once, however many partitions need it. What cannot be read is tried again a
// few times; then the partitions that need it have an Err. Run itself fails only
// when ctx ends.
func Run(ctx context.Context, rows meta.Store, objects objstore.Store, partitions []*meta.Partition) ([]*Partition, error) {
	if mutation.Off(mutation.Unnamed) {
		partitions = countUnnamed(ctx, rows, partitions)
	}
	found := make([]*Partition, len(partitions))
	wanted := tenures{}
	for i, row := range partitions {
		found[i] = &Partition{Row: row}
		wanted.add(found[i])
	}
	for session, w := range wanted {
		if err := w.read(ctx, rows, session); err != nil {
			w.fail(err)
		}
	}
	for _, p := range found {
		if p.Err == nil {
			p.Err = p.finish()
		}
	}
	restoreStates(ctx, objects, found, time.Now())
	return found, context.Cause(ctx)
}

// tenures are what is looked for in the journals, by session.
type tenures map[string]*sessionTenures

type sessionTenures struct {
	from       uint64 // the lowest seq that matters
	to         uint64 // no seq from here on matters; open while the seal ends it
	partitions map[tenureID]*Partition
	matters    bool // a row was read that no checkpoint covers
}

// open is the end of a journal that is read to its seal.
const open = math.MaxUint64

// tenureID says which commits count: those of the tenure's own epoch (R5).
type tenureID struct {
	flush.ID
	epoch uint64
}

func (t tenures) add(p *Partition) {
	r := p.Row
	for _, old := range r.Tenures {
		t.want(old.Session, old.Epoch, old.FirstSeq, old.EndSeq, p)
	}
	if r.Owner != "" {
		t.want(r.Owner, r.Epoch, r.FirstSeq, open, p)
	}
}

func (t tenures) want(session string, epoch, from, to uint64, p *Partition) {
	w := t[session]
	if w == nil {
		w = &sessionTenures{from: from, partitions: map[tenureID]*Partition{}}
		t[session] = w
	}
	if mutation.Off(mutation.R5) {
		from, to, epoch = 0, open, 0
	}
	w.from, w.to = min(w.from, from), max(w.to, to)
	w.partitions[tenureID{flush.ID{Topic: p.Row.Topic, Partition: p.Row.Partition}, epoch}] = p
}

// read passes a journal's commits to the partitions that they belong to.
func (w *sessionTenures) read(ctx context.Context, rows meta.Store, session string) error {
	next := w.from
	err := retry(ctx, func() error { return w.readFrom(ctx, rows, session, &next) })
	if err != nil {
		return err
	}
	for _, p := range w.partitions {
		if p.Row.Owner == session {
			p.EndSeq = next
		}
	}
	return nil
}

// readFrom leaves next behind the last row that it passed on.
func (w *sessionTenures) readFrom(ctx context.Context, rows meta.Store, session string, next *uint64) error {
	if *next >= w.to {
		return nil
	}
	late := false // the row before is a seal, and one follows it
	for row, err := range journal.Read(ctx, rows, session, *next) {
		if err != nil {
			return err
		}
		if row.Seq != *next && w.matters {
			return fmt.Errorf("read journal %s: row %d is missing: %w", session, *next, journal.ErrCorrupt)
		}
		if late && w.matters {
			return fmt.Errorf("read journal %s: row %d follows its seal: %w", session, row.Seq, journal.ErrCorrupt)
		}
		*next, late = row.Seq, row.Seal
		if row.Seal {
			continue // the last row, or one that landed late where rows were trimmed
		}
		if err := w.take(row); err != nil {
			return fmt.Errorf("journal %s at %d: %w", session, row.Seq, err)
		}
		if *next = row.Seq + 1; *next >= w.to {
			return nil
		}
	}
	return nil
}

// fail gives up what stands in a journal that cannot be read.
func (w *sessionTenures) fail(err error) {
	for _, p := range w.partitions {
		p.Err = err
	}
}

func (w *sessionTenures) take(row *meta.Entry) error {
	for i := range row.Segments {
		if err := w.takeSegment(row, &row.Segments[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *sessionTenures) takeSegment(row *meta.Entry, s *meta.Segment) error {
	commits, err := journal.ParseCommits(s.Commits)
	if err != nil {
		return err
	}
	object := &index.Segment{Key: s.Key, Size: s.Size, Session: row.Session, Seq: row.Seq}
	at := uint64(segment.HeaderSize)
	for _, c := range commits {
		if mutation.Off(mutation.R5) {
			c.Epoch = 0
		}
		p := w.partitions[tenureID{flush.ID{Topic: c.Topic, Partition: c.Partition}, c.Epoch}]
		if p != nil {
			w.matters = w.matters || c.Base+uint64(c.Records) > p.Row.Checkpoint.End
			p.Ranges = append(p.Ranges, index.Range{
				Base: c.Base, Records: c.Records, At: uint32(at), Size: c.Size, Segment: object, State: c.State,
				MaxTimestamp: index.UnknownTimestamp,
			})
		}
		at += uint64(c.Size)
	}
	if at > math.MaxUint32 || at > uint64(max(0, s.Size)) {
		return fmt.Errorf("its sections are longer than its segment: %w", journal.ErrCorrupt)
	}
	return nil
}

// finish sorts what was found, sees to it that nothing is missing, and finds
// the end: the furthest of the tenure's start, the checkpoint, and the
// journal (R4).
func (p *Partition) finish() error {
	slices.SortFunc(p.Ranges, func(a, b index.Range) int {
		if a.Base < b.Base {
			return -1
		}
		return 1
	})
	next := p.Row.Checkpoint.End
	p.Ranges = slices.DeleteFunc(p.Ranges, func(r index.Range) bool { return r.End() <= next })
	for _, r := range p.Ranges {
		if r.Base != next {
			return fmt.Errorf("partition %d of topic %d: records %d to %d are committed, but the journal says nothing of %d: %w",
				p.Row.Partition, p.Row.Topic, r.Base, r.End(), next, journal.ErrCorrupt)
		}
		next = r.End()
	}
	p.End = max(p.Row.Start, next)
	if p.End != next {
		return fmt.Errorf("partition %d of topic %d: its row says that it reaches offset %d, but the journal ends at %d: %w",
			p.Row.Partition, p.Row.Topic, p.End, next, journal.ErrCorrupt)
	}
	return nil
}
