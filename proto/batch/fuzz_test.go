package batch

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzDecode feeds damaged and hostile batches. Half of the work is to get
// past the CRC, so it is set right before decoding. What is read must survive
// being written again.
func FuzzDecode(f *testing.F) {
	for _, c := range codecs {
		b, err := os.ReadFile(filepath.Join("testdata", c.String()+".batch"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(build(c, extreme()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderSize {
			b = forge(b, func(b []byte) []byte { return b })
		}
		h, records, err := decode(new(Decoder), b)
		if err != nil {
			if !wrapsSentinel(err) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if len(records) != int(h.Records) {
			t.Fatalf("%d records, and the header says %d", len(records), h.Records)
		}
		_, again, err := decode(new(Decoder), build(h.Codec, records))
		if err != nil || !reflect.DeepEqual(records, again) {
			t.Fatalf("written again: %v\nwas %v\nnow %v", err, records, again)
		}
	})
}

// FuzzRoundTrip builds batches of arbitrary fields.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), "header", []byte("of it"), int64(0), int64(1), uint16(3), byte(S2))
	f.Add([]byte{}, []byte(nil), "", []byte{}, int64(-1)<<63, int64(1<<63-1), uint16(0), byte(None))
	f.Add(bytes.Repeat([]byte("a"), 300), []byte{0}, "ü", []byte{0xff}, int64(5), int64(-5), uint16(900), byte(Zstd))
	f.Fuzz(func(t *testing.T, key, value []byte, name string, text []byte, t0, t1 int64, n uint16, codec byte) {
		records := []Record{
			{Key: key, Value: value, Timestamp: t0, Headers: []RecordHeader{{name, text}}},
			{Value: key, Timestamp: t1},
		}
		for i := range n % 1000 {
			records = append(records, Record{Key: value, Value: []byte(name), Timestamp: t0 + int64(i)*t1})
		}
		c := Codec(codec % 4)
		h, got, err := decode(new(Decoder), build(c, records))
		if err != nil || !reflect.DeepEqual(got, records) {
			t.Fatalf("%v\ngot %v\nwant %v", err, got, records)
		}
		checkHeader(t, h, records)
	})
}
