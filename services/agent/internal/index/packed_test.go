package index

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	blocks = []Block{{Records: 1000, Size: 1 << 20, MaxTimestamp: 100}, {Records: 1, Size: 62, MaxTimestamp: 50}, {Records: math.MaxUint32, Size: math.MaxUint32, MaxTimestamp: math.MinInt64 / 4}}
	parts  = []Part{{Topic: 3, Partition: 7, Compaction: 0x0123456789abcdef, Base: 1000, Records: 300}, {Topic: math.MaxUint32, Partition: 0, Compaction: math.MaxUint64, Base: math.MaxUint64, Records: 0}}
)

// Rows of an earlier release must stay readable for ever; docs/formats.md shows the
// same bytes.
func TestPackedGolden(t *testing.T) {
	want := unhex(t, "02 e807 808040 c801 01 3e 63")
	if got := AppendBlocks(nil, blocks[:2]); !bytes.Equal(got, want) {
		t.Errorf("blocks are packed as %x, want %x", got, want)
	}
	if got, err := ParseBlocks(want); err != nil || !reflect.DeepEqual(got, blocks[:2]) {
		t.Errorf("blocks are read as %+v, %v", got, err)
	}
	want = unhex(t, "01 03 07 efcdab8967452301 e807 ac02")
	if got := AppendParts(nil, parts[:1]); !bytes.Equal(got, want) {
		t.Errorf("parts are packed as %x, want %x", got, want)
	}
	if got, err := ParseParts(want); err != nil || !reflect.DeepEqual(got, parts[:1]) {
		t.Errorf("parts are read as %+v, %v", got, err)
	}
}

func TestPackedExtremes(t *testing.T) {
	if got, err := ParseBlocks(AppendBlocks(nil, blocks)); err != nil || !reflect.DeepEqual(got, blocks) {
		t.Errorf("blocks are read as %+v, %v", got, err)
	}
	if got, err := ParseParts(AppendParts(nil, parts)); err != nil || !reflect.DeepEqual(got, parts) {
		t.Errorf("parts are read as %+v, %v", got, err)
	}
	for _, b := range [][]byte{AppendBlocks(nil, blocks), AppendParts(nil, parts)} {
		for n := range b {
			if _, err := ParseBlocks(b[:n]); !errors.Is(err, ErrCorrupt) && n > 0 && b[0] == 3 {
				t.Errorf("blocks cut to %d bytes are read with %v", n, err)
			}
			if _, err := ParseParts(b[:n]); !errors.Is(err, ErrCorrupt) && n > 0 && b[0] == 2 {
				t.Errorf("parts cut to %d bytes are read with %v", n, err)
			}
		}
	}
}

// A merge of as many parts as there may be fits a DynamoDB item.
func TestMaxParts(t *testing.T) {
	all := make([]Part, MaxParts)
	for i := range all {
		all[i] = Part{Topic: 1<<21 - 1, Partition: 1<<14 - 1, Compaction: math.MaxUint64, Base: 1<<49 - 1, Records: 1<<28 - 1}
	}
	if n := len(AppendParts(nil, all)); n > 300<<10 {
		t.Errorf("%d parts take %d bytes", MaxParts, n)
	}
}

func FuzzParseBlocks(f *testing.F) {
	f.Add(AppendBlocks(nil, blocks))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseBlocks(b)
		if err != nil {
			return
		}
		if 3*len(got) > len(b) {
			t.Fatalf("%d blocks out of %d bytes", len(got), len(b))
		}
		if again, err := ParseBlocks(AppendBlocks(nil, got)); err != nil || len(got) > 0 && !reflect.DeepEqual(got, again) {
			t.Fatalf("read again as %+v, %v", again, err)
		}
	})
}

func FuzzParseParts(f *testing.F) {
	f.Add(AppendParts(nil, parts))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseParts(b)
		if err != nil {
			return
		}
		for i := range got {
			if got[i].End() < got[i].Base {
				t.Fatalf("part %d wraps around: %+v", i, got[i])
			}
		}
		if again, err := ParseParts(AppendParts(nil, got)); err != nil || len(got) > 0 && !reflect.DeepEqual(got, again) {
			t.Fatalf("read again as %+v, %v", again, err)
		}
	})
}
