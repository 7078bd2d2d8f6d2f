package batch

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Clients in other languages use other encoders: a zstd stream that does not
// know its size and carries a checksum, Snappy, which is a subset of S2, and
// LZ4 at its high compression.
func TestOtherEncoders(t *testing.T) {
	payload := logs(200 << 10).buf[HeaderSize:]
	stream := func(options ...zstd.EOption) []byte {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, append(options, zstd.WithEncoderConcurrency(1))...)
		if err != nil {
			t.Fatal(err)
		}
		for chunk := range bytes.Lines(payload) {
			if _, err := w.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	high := make([]byte, len(payload))
	n, err := lz4.CompressBlockHC(payload, high, 0, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		codec  Codec
		stored []byte
	}{
		"zstd with checksum":    {Zstd, stream()},
		"zstd at its best":      {Zstd, stream(zstd.WithEncoderLevel(zstd.SpeedBestCompression))},
		"zstd with 16 MiB":      {Zstd, stream(zstd.WithWindowSize(zstdMaxWindow))},
		"snappy":                {S2, snappy.Encode(nil, payload)},
		"lz4, high compression": {LZ4, high[:n]},
	} {
		t.Run(name, func(t *testing.T) {
			got := make([]byte, len(payload))
			if err := decompress(c.codec, got, c.stored); err != nil || !bytes.Equal(got, payload) {
				t.Fatalf("payload differs, %v", err)
			}
			if err := decompress(c.codec, got[:len(got)-1], c.stored); err == nil {
				t.Fatal("a payload larger than its header says is taken")
			}
		})
	}
}

func TestCodecNames(t *testing.T) {
	for _, c := range codecs {
		if got, err := ParseCodec(c.String()); err != nil || got != c {
			t.Errorf("%s: %v, %v", c, got, err)
		}
	}
	if _, err := ParseCodec("gzip"); err == nil {
		t.Error("gzip is accepted")
	}
	if got := Codec(9).String(); got != "codec 9" {
		t.Error(got)
	}
}
