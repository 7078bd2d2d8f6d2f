package batch

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var codecs = []Codec{None, LZ4, Zstd, S2}

// plain are small and show every shape of record.
func plain() []Record {
	return []Record{
		{Value: []byte("first"), Timestamp: 1_700_000_000_000},
		{Key: []byte("k"), Value: []byte("second"), Timestamp: 1_700_000_000_001},
		{Key: []byte{}, Value: []byte{}, Timestamp: 1_699_999_999_000},
		{Key: []byte("deleted"), Timestamp: 1_700_000_000_002},
		{Timestamp: 1_700_000_000_500},
		{
			Key: []byte{0, 0xff, 0x80}, Value: bytes.Repeat([]byte("compress me "), 40), Timestamp: 1_700_000_000_003,
			Headers: []RecordHeader{{"trace", []byte{1, 2, 0}}, {"", nil}, {"trace", []byte{}}, {"größe", []byte("12")}},
		},
		{Value: []byte("last"), Headers: []RecordHeader{{"trace", nil}}, Timestamp: 1_700_000_000_004},
	}
}

// extreme hold the numbers at which encodings break.
func extreme() []Record {
	return []Record{
		{Timestamp: 0, Value: bytes.Repeat([]byte{7}, 126)},
		{Timestamp: math.MaxInt64, Value: bytes.Repeat([]byte{7}, 127)},
		{Timestamp: math.MinInt64, Value: bytes.Repeat([]byte{7}, 128)},
		{Timestamp: -1, Key: bytes.Repeat([]byte{8}, 16383), Headers: manyHeaders(300)},
		{Timestamp: 1, Key: bytes.Repeat([]byte{8}, 16384), Headers: []RecordHeader{{strings.Repeat("h", 200), bytes.Repeat([]byte{9}, 128)}}},
	}
}

func manyHeaders(n int) []RecordHeader {
	headers := make([]RecordHeader, n)
	for i := range headers {
		headers[i] = RecordHeader{fmt.Sprint("h", i), []byte{byte(i)}}
	}
	return headers
}

func random(rng *rand.Rand, n int) []Record {
	records := make([]Record, n)
	for i := range records {
		r := &records[i]
		r.Timestamp = 1_700_000_000_000 + rng.Int64N(1000) - 500
		r.Key, r.Value = randomField(rng, 20), randomField(rng, 1<<rng.IntN(11))
		for range rng.IntN(4) {
			r.Headers = append(r.Headers, RecordHeader{string(randomField(rng, 9)), randomField(rng, 20)})
		}
	}
	return records
}

func randomField(rng *rand.Rand, limit int) []byte {
	if rng.IntN(5) == 0 {
		return nil
	}
	b := make([]byte, rng.IntN(limit+1))
	for i := range b {
		b[i] = byte(rng.IntN(8) * 37) // repeats enough to compress
	}
	return b
}

func build(c Codec, records []Record) []byte {
	var b Builder
	for i := range records {
		b.Append(&records[i])
	}
	b.Compress(c)
	return b.Seal(42, 7)
}

// decode returns copies of all records.
func decode(d *Decoder, b []byte) (Header, []Record, error) {
	h, err := d.Reset(b)
	if err != nil {
		return h, nil, err
	}
	var records []Record
	var r Record
	for d.Next(&r) {
		records = append(records, clone(&r))
	}
	return h, records, d.Err()
}

func clone(r *Record) Record {
	c := Record{Key: slices.Clone(r.Key), Value: slices.Clone(r.Value), Timestamp: r.Timestamp}
	for _, h := range r.Headers {
		c.Headers = append(c.Headers, RecordHeader{h.Key, slices.Clone(h.Value)})
	}
	return c
}

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	inputs := map[string][]Record{
		"plain": plain(), "extreme": extreme(), "random": random(rng, 500), "one null": {{}}, "one empty": {{Key: []byte{}, Value: []byte{}}},
	}
	var d Decoder
	for name, records := range inputs {
		for _, c := range codecs {
			t.Run(name+"/"+c.String(), func(t *testing.T) {
				h, got, err := decode(&d, build(c, records))
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, records) {
					t.Fatalf("got %v, want %v", got, records)
				}
				checkHeader(t, h, records)
			})
		}
	}
}

func checkHeader(t *testing.T, h Header, records []Record) {
	t.Helper()
	latest := records[0].Timestamp
	for i := range records {
		latest = max(latest, records[i].Timestamp)
	}
	if h.ProducerID != 42 || h.Sequence != 7 || int(h.Records) != len(records) || h.BaseTimestamp != records[0].Timestamp || h.MaxTimestamp != latest {
		t.Fatalf("header %+v of %d records from %d to %d", h, len(records), records[0].Timestamp, latest)
	}
}
