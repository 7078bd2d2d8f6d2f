package segment

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file anew")

// A segment written by an earlier release must stay readable for ever. Its
// footer must also be written with the same bytes; the batches are for package
// batch to pin down.
func TestGolden(t *testing.T) {
	const path = "testdata/example.segment"
	now, _ := example(t)
	if *update {
		if err := os.WriteFile(path, now, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Verify(stored)
	if err != nil {
		t.Fatal(err)
	}
	if got := AppendFooter(nil, f); !bytes.Equal(got, footerOf(t, stored)) {
		t.Fatalf("the same footer is written differently:\nwas %x\nnow %x", footerOf(t, stored), got)
	}
	if !bytes.Equal(stored[:HeaderSize], now[:HeaderSize]) {
		t.Fatalf("the same header is written differently:\nwas %x\nnow %x", stored[:HeaderSize], now[:HeaderSize])
	}
	checkGolden(t, f)
}

// checkGolden pins what the golden file says, apart from what depends on the
// compressors.
func checkGolden(t *testing.T, f *Footer) {
	t.Helper()
	_, want := example(t)
	if f.Number != want.Number || len(f.Sections) != len(want.Sections) {
		t.Fatalf("number %d, %d sections", f.Number, len(f.Sections))
	}
	for i := range f.Sections {
		got, want := &f.Sections[i], &want.Sections[i]
		if got.Topic != want.Topic || got.Partition != want.Partition || got.Records != want.Records ||
			!reflect.DeepEqual(got.State, want.State) || len(got.Batches) != len(want.Batches) {
			t.Fatalf("section %d: %+v, want %+v", i, got, want)
		}
		for j, b := range got.Batches {
			w := want.Batches[j]
			if b.ProducerID != w.ProducerID || b.Sequence != w.Sequence || b.Records != w.Records || b.MaxTimestamp != w.MaxTimestamp {
				t.Fatalf("section %d batch %d: %+v, want %+v", i, j, b, w)
			}
		}
	}
}
