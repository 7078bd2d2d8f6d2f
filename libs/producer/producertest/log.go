package producertest

import (
	"bytes"
	"slices"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// Record is a record as a partition holds it.
type Record struct {
	Offset     uint64
	Key, Value []byte
	Headers    []batch.RecordHeader
	// Timestamp is in milliseconds since the Unix epoch.
	Timestamp int64
	// Producer and Sequence are those of the record's batch.
	Producer, Sequence uint64
}

// window is how many of a producer's last batches an agent remembers.
const window = 128

// log is one partition. The cluster's mutex guards it.
type log struct {
	records   []Record
	producers map[uint64][]appended // by producer id, then by sequence
}

type appended struct {
	crc  uint32
	base uint64
}

func newLog() *log { return &log{producers: map[uint64][]appended{}} }

// append does what an agent does with a batch that it may append: it answers a
// repeat with its first offset, refuses what it must, and appends the rest.
func (l *log) append(d *batch.Decoder, h batch.Header) (uint64, *reason.Error) {
	known := l.producers[h.ProducerID]
	next := uint64(len(known))
	base := uint64(len(l.records))
	switch {
	case h.ProducerID == 0: // without idempotence
	case next == 0 && h.Sequence > 0:
		return 0, reason.New(reason.UnknownProducer, "nothing is known of producer %d", h.ProducerID)
	case h.Sequence > next:
		return 0, reason.New(reason.SequenceGap, "sequence %d, expected %d", h.Sequence, next)
	case h.Sequence+window < next:
		return 0, reason.New(reason.SequenceTooOld, "sequence %d is older than the last %d batches", h.Sequence, window)
	case h.Sequence < next && known[h.Sequence].crc != h.CRC:
		return 0, reason.New(reason.SequenceConflict, "sequence %d has other content", h.Sequence)
	case h.Sequence < next:
		return known[h.Sequence].base, nil
	}
	records, err := decode(d, h, base)
	if err != nil {
		return 0, reason.New(reason.CorruptBatch, "%v", err)
	}
	if h.ProducerID != 0 {
		l.producers[h.ProducerID] = append(known, appended{crc: h.CRC, base: base})
	}
	l.records = append(l.records, records...)
	return base, nil
}

func decode(d *batch.Decoder, h batch.Header, base uint64) ([]Record, error) {
	records := make([]Record, 0, h.Records)
	var r batch.Record
	for d.Next(&r) {
		headers := slices.Clone(r.Headers)
		for i := range headers {
			headers[i].Value = bytes.Clone(headers[i].Value)
		}
		records = append(records, Record{
			Offset: base + uint64(len(records)), Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Headers: headers,
			Timestamp: r.Timestamp, Producer: h.ProducerID, Sequence: h.Sequence,
		})
	}
	return records, d.Err()
}
