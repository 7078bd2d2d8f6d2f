package batch

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Batches written by an earlier release must stay readable for ever. Only the
// uncompressed one must also be written with the same bytes: compressors may
// improve.
func TestGolden(t *testing.T) {
	for _, c := range codecs {
		t.Run(c.String(), func(t *testing.T) {
			path := filepath.Join("testdata", c.String()+".batch")
			now := build(c, plain())
			if *update {
				if err := os.WriteFile(path, now, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			stored, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			h, got, err := decode(new(Decoder), stored)
			if err != nil || h.Codec != c || !reflect.DeepEqual(got, plain()) {
				t.Fatalf("read %+v with %v: %v", h, err, got)
			}
			checkHeader(t, h, plain())
			if c == None && !bytes.Equal(stored, now) {
				t.Fatalf("the same records are written differently:\nwas %x\nnow %x", stored, now)
			}
		})
	}
}
