package verify

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// checkRun holds an index row against its object, and adds the batches to the
// partition's digest.
func (v *verifier) checkRun(m *merged, r *run) error {
	s, at := r.section, r.starts
	fail := func(at int64, format string, args ...any) error {
		f := wrong(format, args...).of(r.p, r.base).named(m.key, r.row(), r.last)
		f.Byte = &at
		return &f
	}
	records := r.last + 1 - r.base
	switch {
	case r.size != m.size:
		return fail(min(r.size, m.size), "the object has %d bytes, and the row says %d", m.size, r.size)
	case r.at != uint64(at):
		return fail(at, "the object has the partition's batches from byte %d on, and the row says %d", at, r.at)
	case records != uint64(s.Records):
		return fail(at, "the row has %d records, and the object %d", records, s.Records)
	case s.State != nil:
		return fail(at, "the object holds producers' states")
	}
	if f := v.checkBlocks(m, r, s, at); f != nil {
		return f
	}
	v.sum(r, s)
	return nil
}

// checkBlocks sees to it that a row's blocks are whole batches, and what it says
// of each. As the row has all records of the section, they reach to its end.
func (v *verifier) checkBlocks(m *merged, r *run, s *segment.Section, at int64) error {
	blocks, err := index.ParseBlocks(r.blocks)
	if err != nil {
		return err // the walk has read them
	}
	fail := func(offset uint64, at int64, format string, args ...any) error {
		f := wrong(format, args...).of(r.p, offset).named(m.key, r.row(), r.last)
		f.Byte = &at
		return &f
	}
	base, batches := r.base, s.Batches
	for i, want := range blocks {
		got := index.Block{MaxTimestamp: math.MinInt64}
		for len(batches) > 0 && got.Size < want.Size {
			b := &batches[0]
			got.Records, got.Size = got.Records+b.Records, got.Size+b.Size
			got.MaxTimestamp = max(got.MaxTimestamp, b.MaxTimestamp)
			batches = batches[1:]
		}
		switch {
		case got.Size != want.Size:
			return fail(base, at, "block %d of the row has %d bytes, and the batches there %d: it does not end with one of them", i, want.Size, got.Size)
		case got.Records != want.Records:
			return fail(base, at, "block %d of the row has %d records, and its batches %d", i, want.Records, got.Records)
		case got.MaxTimestamp != want.MaxTimestamp:
			return fail(base, at, "block %d of the row has the latest timestamp %d, and its batches %d", i, want.MaxTimestamp, got.MaxTimestamp)
		}
		base, at = base+uint64(want.Records), at+int64(want.Size)
	}
	return nil
}

// sum adds a run's batches to the digest. What the checkpoint came to cover while
// the store was checked is in it already, as far as the journals told.
func (v *verifier) sum(r *run, s *segment.Section) {
	base := r.base
	for i := range s.Batches {
		b := &s.Batches[i]
		if !r.p.journaled(base) {
			r.p.add(base, b)
			v.report.Batches++
			v.report.Records += uint64(b.Records)
		}
		base += uint64(b.Records)
	}
}

// damaged makes a fault of why an object could not be read, at a row that names
// it.
func (v *verifier) damaged(m *merged, r *run) error {
	f := FaultError{}.of(r.p, r.base).named(m.key, r.row(), r.last)
	var object *objectError
	if b, ok := errors.AsType[*segment.BatchError](m.err); ok {
		return v.damagedBatch(m, b)
	}
	switch {
	case errors.Is(m.err, objstore.ErrNotFound):
		f.What = fmt.Sprintf("the object is missing; the row says that it has %d bytes", r.size)
	case m.size != r.size:
		f.What, f.Byte = fmt.Sprintf("the object has %d bytes, and the row says %d", m.size, r.size), new(min(m.size, r.size))
	case errors.Is(m.err, objstore.ErrRange):
		f.What = fmt.Sprintf("the object has less than the %d bytes that the row says", r.size)
	case errors.As(m.err, &object):
		f.What, f.Byte = object.Error(), &object.at
	default:
		return fmt.Errorf("read object %s: %w", m.key, m.err)
	}
	return &f
}

// damagedBatch finds the offset of a damaged batch: that which the index row of
// its partition gives it.
func (v *verifier) damagedBatch(m *merged, b *segment.BatchError) error {
	f := wrong("%v", b.Err).in(m.key, int64(b.At))
	f.Topic, f.Partition = v.topicName(b.Topic), &b.Partition
	i := slices.IndexFunc(m.runs, func(r run) bool { return r.p.row.Topic == b.Topic && r.p.row.Partition == b.Partition })
	if i >= 0 {
		r := &m.runs[i]
		f = f.of(r.p, r.base+b.Before).named(m.key, r.row(), r.last)
	}
	return &f
}
