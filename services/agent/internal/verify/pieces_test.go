package verify

import (
	"bytes"
	"errors"
	"testing"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// large builds a merged object of batches that hold one value each.
func (s *store) large(value []byte, batches int) (object []byte, ends []int) {
	s.Helper()
	object, err := segment.AppendHeader(nil, segment.Header{Session: first})
	if err != nil {
		s.Fatal(err)
	}
	section := segment.Section{Topic: 1}
	for i := range batches {
		var builder batch.Builder
		builder.Append(&batch.Record{Value: value})
		stored := builder.Seal(7, uint64(i))
		h, err := batch.ParseHeader(stored)
		if err != nil {
			s.Fatal(err)
		}
		section.Batches = append(section.Batches, segment.Batch{
			Size: h.Size, Records: h.Records, CRC: h.CRC, ProducerID: h.ProducerID, Sequence: h.Sequence, MaxTimestamp: h.MaxTimestamp,
		})
		object = append(object, stored...)
		ends = append(ends, len(object))
	}
	return segment.AppendFooter(object, &segment.Footer{Sections: []segment.Section{section}}), ends
}

// An object larger than a piece is checked to its last byte, and one whose footer
// is larger than what is read of the end at first.
func TestPieces(t *testing.T) {
	for name, c := range map[string]struct {
		value   []byte
		batches int
	}{
		"many pieces":    {bytes.Repeat([]byte("x"), 3<<20), 8},
		"large batches":  {bytes.Repeat([]byte("x"), 9<<20), 3},
		"a large footer": {[]byte("x"), 40_000},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			object, ends := s.large(c.value, c.batches)
			read := func(key string, b []byte) error {
				s.put(key, b)
				f, err := readFooter(t.Context(), s.objects, key, int64(len(b)))
				if err == nil {
					err = readBatches(t.Context(), s.objects, key, first, f)
				}
				return err
			}
			if err := read("sound", object); err != nil {
				t.Fatal(err)
			}
			for _, i := range []int{0, c.batches / 2, c.batches - 1} {
				object[ends[i]-1] ^= 1
				found, ok := errors.AsType[*segment.BatchError](read(mergedOf(first, uint64(i)), object))
				if object[ends[i]-1] ^= 1; !ok || found.Index != i || found.Before != uint64(i) || i > 0 && found.At != ends[i-1] {
					t.Errorf("the last byte of batch %d: %+v", i, found)
				}
			}
		})
	}
}

// An object may be cut off anywhere. Some stores refuse to read from an empty one.
func TestShortObjects(t *testing.T) {
	s := newStore(t)
	object, _ := s.large([]byte("x"), 2)
	counted := &countedObjects{Store: s.objects}
	if _, err := readFooter(t.Context(), counted, "empty", 0); err == nil || len(counted.gets) > 0 {
		t.Errorf("an empty object: %v, %v", err, counted.gets)
	}
	for n := range object {
		key := mergedOf(first, uint64(n))
		s.put(key, object[:n])
		var damaged *objectError
		if _, err := readFooter(t.Context(), s.objects, key, int64(n)); !errors.As(err, &damaged) {
			t.Errorf("%d bytes: %v", n, err)
		}
		s.put(key+"-end", object[len(object)-n:])
		if _, err := readFooter(t.Context(), s.objects, key+"-end", int64(n)); !errors.As(err, &damaged) {
			t.Errorf("the last %d bytes: %v", n, err)
		}
	}
}
