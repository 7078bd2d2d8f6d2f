package fakeagent

import (
	"bytes"
	"slices"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// Entry is a record in a log. Its offset is its index.
type Entry struct {
	Key, Value []byte
	Headers    []batch.RecordHeader
	Timestamp  int64
	// Producer and Sequence are those of the record's batch.
	Producer, Sequence uint64
}

// log is one partition. The cluster's mutex guards it.
type log struct {
	entries   []Entry
	producers map[uint64][]appended // by producer id, then by sequence
}

type appended struct {
	crc  uint32
	base uint64
}

// append does what an agent does with a batch that it may append: it answers a
// repeat with its first offset, refuses what it must, and appends the rest.
func (l *log) append(data []byte) (uint64, *reason.Error) {
	var d batch.Decoder
	h, err := d.Reset(data)
	if err != nil {
		return 0, reason.New(reason.CorruptBatch, "%v", err)
	}
	known := l.producers[h.ProducerID]
	next := uint64(len(known))
	switch {
	case h.Sequence < next:
		if known[h.Sequence].crc != h.CRC {
			return 0, reason.New(reason.SequenceConflict, "sequence %d has other content", h.Sequence)
		}
		return known[h.Sequence].base, nil
	case h.Sequence > next && next == 0:
		return 0, reason.New(reason.UnknownProducer, "nothing is known of producer %d", h.ProducerID)
	case h.Sequence > next:
		return 0, reason.New(reason.SequenceGap, "sequence %d, expected %d", h.Sequence, next)
	}
	base := uint64(len(l.entries))
	l.producers[h.ProducerID] = append(known, appended{crc: h.CRC, base: base})
	l.entries = append(l.entries, decode(&d, h)...)
	return base, nil
}

func decode(d *batch.Decoder, h batch.Header) []Entry {
	var entries []Entry
	var r batch.Record
	for d.Next(&r) {
		headers := slices.Clone(r.Headers)
		for i := range headers {
			headers[i].Value = bytes.Clone(headers[i].Value)
		}
		entries = append(entries, Entry{
			Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Headers: headers,
			Timestamp: r.Timestamp, Producer: h.ProducerID, Sequence: h.Sequence,
		})
	}
	return entries
}
