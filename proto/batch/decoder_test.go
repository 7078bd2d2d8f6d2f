package batch

import (
	"errors"
	"testing"
)

func TestDecoderDoesNotAllocate(t *testing.T) {
	records := plain()
	for i := range records {
		records[i].Headers = []RecordHeader{{"trace", []byte("id")}, {"tenant", nil}}
	}
	for _, c := range []Codec{None, LZ4, S2, Zstd} {
		b := build(c, records)
		var d Decoder
		var r Record
		got := testing.AllocsPerRun(100, func() {
			if _, err := d.Reset(b); err != nil {
				t.Fatal(err)
			}
			for d.Next(&r) {
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations for %d records", c, got, len(records))
		}
	}
}

// A field that could grow into its neighbour would let an append to a key
// overwrite the value behind it.
func TestFieldsAreClipped(t *testing.T) {
	var d Decoder
	if _, err := d.Reset(build(None, []Record{{Key: []byte("k"), Value: []byte("v"), Headers: []RecordHeader{{"h", []byte("w")}}}})); err != nil {
		t.Fatal(err)
	}
	var r Record
	d.Next(&r)
	if cap(r.Key) != 1 || cap(r.Value) != 1 || cap(r.Headers[0].Value) != 1 {
		t.Fatalf("capacities %d, %d, %d", cap(r.Key), cap(r.Value), cap(r.Headers[0].Value))
	}
}

// A decoder that met a damaged batch must read the next one as if new.
func TestDecoderRecovers(t *testing.T) {
	var d Decoder
	good := build(S2, plain())
	for _, bad := range [][]byte{nil, good[:100], forge(good, func(b []byte) []byte { b[20]++; return b })} {
		if _, _, err := decode(&d, bad); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("damaged: %v", err)
		}
		if _, got, err := decode(&d, good); err != nil || len(got) != len(plain()) {
			t.Fatalf("after damage: %d records, %v", len(got), err)
		}
	}
}
