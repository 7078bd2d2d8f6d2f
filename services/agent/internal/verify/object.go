package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// job is one segment that a row names, and what came of reading it.
type job struct {
	seq     uint64
	segment *meta.Segment
	commits []journal.Commit
	skipped bool // nothing that is looked at needs it
	weight  int64

	done   chan struct{} // closed when what follows is set
	footer *segment.Footer
	size   int64
	err    error
}

// check holds an object against the row that names it, and the row against the
// partitions.
func (w *walk) check(ctx context.Context, j *job) error {
	if _, listed := w.named[j.segment.Key]; listed {
		delete(w.named, j.segment.Key)
		w.done.Add(1)
	}
	if j.skipped {
		return nil
	}
	if errors.Is(j.err, objstore.ErrNotFound) {
		if removed, err := w.removed(ctx, j); err != nil || removed {
			return err
		}
	}
	if err := w.checkObject(j); err != nil {
		return err
	}
	w.report.Segments++
	w.report.Bytes += j.size
	at := int64(segment.HeaderSize)
	for i := range j.commits {
		c, s := &j.commits[i], &j.footer.Sections[i]
		if err := w.checkSection(j, c, s, at); err != nil {
			return err
		}
		if err := w.commit(ctx, w.session.ID, j.seq, c, s); err != nil {
			return withKey(err, j.segment.Key, at)
		}
		w.report.Batches += len(s.Batches)
		at += int64(s.Size)
	}
	return nil
}

func withKey(err error, key string, at int64) error {
	if f, ok := errors.AsType[*FaultError](err); ok {
		f.Key, f.Byte = key, &at
	}
	return err
}

// removed says whether an object is missing because checkpoints have come to
// cover all that is in it.
func (w *walk) removed(ctx context.Context, j *job) (bool, error) {
	for i := range j.commits {
		c := &j.commits[i]
		p := w.partitions[id{c.Topic, c.Partition}]
		if p == nil || p.gone || endOf(c) <= p.covered {
			continue
		}
		if _, err := w.catchUp(ctx, p); err != nil {
			return false, err
		}
		if !p.gone && endOf(c) > p.covered {
			return false, nil
		}
	}
	return true, nil
}

// checkObject looks at what came of reading the object.
func (w *walk) checkObject(j *job) error {
	var damaged *objectError
	switch batch, ok := errors.AsType[*segment.BatchError](j.err); {
	case ok:
		return w.batchFault(j, batch)
	case errors.Is(j.err, objstore.ErrNotFound):
		return j.fault(w, 0, "the object is missing; the row says that it has %d bytes", j.segment.Size)
	case j.size != j.segment.Size && (j.err == nil || errors.As(j.err, &damaged)):
		return j.fault(w, min(j.size, j.segment.Size), "the object has %d bytes, and the row says %d", j.size, j.segment.Size)
	case errors.As(j.err, &damaged):
		return j.fault(w, damaged.at, "%v", damaged.err)
	case j.err != nil:
		return fmt.Errorf("read object %s: %w", j.segment.Key, j.err)
	}
	if j.footer.Number < w.number {
		return j.fault(w, j.size, "its footer has the number %d, after one with %d: rows are not in the order of flushes", j.footer.Number, w.number-1)
	}
	w.number = j.footer.Number + 1
	if len(j.footer.Sections) != len(j.commits) {
		return j.fault(w, j.size, "the object has parts of %d partitions, and the row commits %d", len(j.footer.Sections), len(j.commits))
	}
	return nil
}

func (j *job) fault(w *walk, at int64, format string, args ...any) error {
	return wrong(format, args...).in(j.segment.Key, at).at(w.session.ID, j.seq)
}

// batchFault finds the offset of a damaged batch.
func (w *walk) batchFault(j *job, b *segment.BatchError) error {
	f := wrong("%v", b.Err).in(j.segment.Key, int64(b.At))
	i := slices.IndexFunc(j.commits, func(c journal.Commit) bool { return c.Topic == b.Topic && c.Partition == b.Partition })
	f.Topic, f.Partition = w.topicName(b.Topic), &b.Partition
	if i >= 0 {
		f.Offset = new(j.commits[i].Base + b.Before)
	}
	return f.at(w.session.ID, j.seq)
}

func (v *verifier) topicName(id uint32) string {
	if t := v.topics[id]; t != nil {
		return t.Name
	}
	return fmt.Sprint(id)
}

// checkSection holds one partition's part of an object against the row.
func (w *walk) checkSection(j *job, c *journal.Commit, s *segment.Section, at int64) error {
	f := FaultError{Topic: w.topicName(c.Topic), Partition: &c.Partition, Offset: &c.Base}.in(j.segment.Key, at)
	switch {
	case s.Topic != c.Topic || s.Partition != c.Partition:
		f.What = fmt.Sprintf("the row commits this partition, where the object has topic %s, partition %d", w.topicName(s.Topic), s.Partition)
	case s.Records != c.Records || s.Size != c.Size:
		f.What = fmt.Sprintf("the row commits %d records of %d bytes, and the object has %d of %d", c.Records, c.Size, s.Records, s.Size)
	case c.State != (s.State != nil):
		f.What = fmt.Sprintf("that the object holds the producers' states is %t in the row and %t in the object", c.State, s.State != nil)
	case s.State != nil:
		_, end, err := producers.Parse[struct{}](s.State, time.Time{})
		if err == nil && end <= c.Base {
			w.report.States++
			return nil
		}
		f.What = fmt.Sprintf("the producers' states go up to offset %d, and the records begin at %d", end, c.Base)
		if err != nil {
			f.What = err.Error()
		}
	default:
		return nil
	}
	return f.at(w.session.ID, j.seq)
}
