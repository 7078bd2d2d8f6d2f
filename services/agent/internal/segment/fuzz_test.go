package segment

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"
)

// FuzzParseFooter feeds damaged footers under a trailer that fits. What is
// read must survive being written again: nothing that ParseFooter takes may
// make AppendFooter panic.
func FuzzParseFooter(f *testing.F) {
	golden, err := os.ReadFile("testdata/example.segment")
	if err != nil {
		f.Fatal(err)
	}
	footer := footerOf(f, golden)
	f.Add(footer[:len(footer)-TrailerSize])
	rng := rand.New(rand.NewPCG(5, 6))
	for range 5 {
		b := AppendFooter(nil, randomFooter(rng))
		f.Add(b[:len(b)-TrailerSize])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		first, err := ParseFooter(seal(body))
		if err != nil {
			if !wrapsSentinel(err) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		again, err := ParseFooter(AppendFooter(nil, first))
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Fatalf("written again: %v\nwas %+v\nnow %+v", err, first, again)
		}
	})
}

// repair makes the checksums of an object's header and footer fit, so that
// fuzzing gets past them.
func repair(object []byte) {
	if len(object) < HeaderSize+TrailerSize {
		return
	}
	binary.LittleEndian.PutUint32(object[12:], Update(0, object[16:HeaderSize]))
	if size, err := ParseTrailer(object); err == nil && size <= len(object) {
		covered := object[len(object)-size : len(object)-8]
		binary.LittleEndian.PutUint32(object[len(object)-8:], Update(0, covered))
	}
}

// FuzzVerify feeds whole objects.
func FuzzVerify(f *testing.F) {
	golden, err := os.ReadFile("testdata/example.segment")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add(golden[:HeaderSize])
	f.Fuzz(func(t *testing.T, object []byte) {
		object = bytes.Clone(object)
		repair(object)
		footer, err := Verify(object)
		if err != nil {
			if !wrapsSentinel(err) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		checkSums(t, footer, len(object)-HeaderSize-len(footerOf(t, object)))
	})
}
