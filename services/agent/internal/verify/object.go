package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	skipped bool // no topic that is looked at has a part in it
	weight  int64

	done   chan struct{} // closed when what follows is set
	footer *segment.Footer
	size   int64
	err    error
}

func (j *job) read(ctx context.Context, objects objstore.Store) {
	defer close(j.done)
	var b []byte
	if b, j.err = objects.Get(ctx, j.segment.Key, 0, -1); j.err != nil {
		return
	}
	j.size = int64(len(b))
	j.footer, j.err = verifyObject(b, sessionOf(j.segment.Key))
}

// sessionOf is the session in whose folder an object is.
func sessionOf(key string) string {
	for i := range len(key) {
		if key[i] == '/' {
			return key[:i]
		}
	}
	return ""
}

// objectError is damage outside of the batches.
type objectError struct {
	at  int64
	err error
}

func (e *objectError) Error() string { return e.err.Error() }
func (e *objectError) Unwrap() error { return e.err }

// verifyObject checks all that an object says of itself.
func verifyObject(b []byte, session string) (*segment.Footer, error) {
	h, err := segment.ParseHeader(b)
	if err != nil {
		return nil, &objectError{0, err}
	}
	if h.Session != session {
		return nil, &objectError{0, fmt.Errorf("%w: session %s wrote it", segment.ErrCorrupt, h.Session)}
	}
	f, err := segment.Verify(b)
	if _, ok := errors.AsType[*segment.BatchError](err); err == nil || ok {
		return f, err
	}
	at := len(b) - segment.TrailerSize
	if n, bad := segment.ParseTrailer(b); bad == nil && n <= len(b) {
		at = len(b) - n
	}
	return nil, &objectError{int64(max(0, at)), err}
}

// check holds an object against the row that names it, and the row against the
// partitions.
func (w *walk) check(ctx context.Context, j *job) error {
	delete(w.named, j.segment.Key)
	if j.skipped {
		return nil
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

// checkStates reads the states that partitions' rows name.
func (v *verifier) checkStates(ctx context.Context) error {
	for _, key := range slices.Sorted(maps.Keys(v.states)) {
		b, err := v.objects.Get(ctx, key, 0, -1)
		if err != nil && !errors.Is(err, objstore.ErrNotFound) {
			return fmt.Errorf("read object %s: %w", key, err)
		}
		var footer *segment.Footer
		if err == nil {
			footer, err = verifyObject(b, sessionOf(key))
		}
		v.report.Bytes += int64(len(b))
		for _, p := range v.states[key] {
			what := ""
			if err != nil {
				what = err.Error()
			} else {
				what = p.checkState(footer)
			}
			if what != "" {
				f := wrong("the object that the row names for the producers' states up to offset %d: %s", p.row.StateEnd, what).of(p, p.row.StateEnd)
				f.Key = key
				return &f
			}
			v.report.States++
		}
	}
	return nil
}

// checkState says what is wrong with the state that the row names.
func (p *partition) checkState(f *segment.Footer) string {
	i := slices.IndexFunc(f.Sections, func(s segment.Section) bool {
		return s.Topic == p.row.Topic && s.Partition == p.row.Partition
	})
	if i < 0 || f.Sections[i].State == nil {
		return "it holds none of this partition"
	}
	_, end, err := producers.Parse[struct{}](f.Sections[i].State, time.Time{})
	switch {
	case err != nil:
		return err.Error()
	case end != p.row.StateEnd:
		return fmt.Sprintf("it goes up to offset %d", end)
	default:
		return ""
	}
}
