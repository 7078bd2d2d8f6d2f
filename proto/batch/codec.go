package batch

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is how a payload is compressed. The numbers are part of the format.
type Codec uint8

// The codecs.
const (
	None Codec = iota
	LZ4
	Zstd
	S2
)

var codecNames = [...]string{None: "none", LZ4: "lz4", Zstd: "zstd", S2: "s2"}

// String returns the name that ParseCodec reads.
func (c Codec) String() string {
	if int(c) < len(codecNames) {
		return codecNames[c]
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// ParseCodec returns the codec with a name: none, lz4, zstd or s2.
func ParseCodec(name string) (Codec, error) {
	for c, n := range codecNames {
		if n == name {
			return Codec(c), nil
		}
	}
	return None, fmt.Errorf("no compression is called %q: use one of %s", name, strings.Join(codecNames[:], ", "))
}

// zstd passes its workers' state around in channels. Made when first used, they
// could belong to a synctest bubble and would panic in the next one; so they
// are made when the program starts. A worker is 256 KiB of zero pages until it
// is used, and eight of them compress more than a network carries.
var (
	zstdEncoder = newZstdEncoder(min(runtime.GOMAXPROCS(0), 8))
	zstdDecoder = newZstdDecoder(min(runtime.GOMAXPROCS(0), 8))
)

func newZstdEncoder(workers int) *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(workers),
		zstd.WithEncoderCRC(false)) // the batch has its own
	if err != nil {
		panic(err) // constant options: a test would have caught it
	}
	e.EncodeAll(nil, nil) // makes the channel
	return e
}

// zstdMaxWindow is the largest window that a frame may ask for. A payload is
// smaller, so no encoder needs more.
const zstdMaxWindow = 16 << 20

func newZstdDecoder(workers int) *zstd.Decoder {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(workers),
		zstd.WithDecoderMaxWindow(zstdMaxWindow),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // constant options: a test would have caught it
	}
	return d
}

// scratch holds the buffers that payloads are compressed into, so that their
// number follows the compressions under way and not the builders alive.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// compress returns payload compressed into buf, or nil where that would not
// make it smaller. buf has the capacity that s2.MaxEncodedLen asks for.
func compress(c Codec, buf, payload []byte) []byte {
	var out []byte
	switch c {
	case LZ4:
		// With less room than CompressBlockBound it says 0 or an error for
		// what does not fit.
		n, err := lz4.CompressBlock(payload, buf[:len(payload)-1], nil)
		if err != nil {
			return nil
		}
		out = buf[:n]
	case Zstd:
		out = zstdEncoder.EncodeAll(payload, buf[:0])
	case S2:
		out = s2.Encode(buf[:cap(buf)], payload)
	case None:
	}
	if len(out) >= len(payload) || len(out) == 0 {
		return nil
	}
	return out
}

var errPayloadSize = errors.New("payload does not have the size that its header says")

// decompress fills payload, and only it, from b.
func decompress(c Codec, payload, b []byte) error {
	n := 0
	switch c {
	case LZ4:
		var err error
		if n, err = lz4.UncompressBlock(b, payload); err != nil {
			return err
		}
	case Zstd:
		out, err := zstdDecoder.DecodeAll(b, payload[:0:len(payload)])
		if err != nil {
			return err
		}
		n = len(out)
	case S2:
		// Asked first, because Decode allocates what b claims.
		var err error
		if n, err = s2.DecodedLen(b); err != nil || n != len(payload) {
			return errors.Join(errPayloadSize, err)
		}
		if _, err = s2.Decode(payload, b); err != nil {
			return err
		}
	case None:
		n = copy(payload, b)
	}
	if n != len(payload) {
		return errPayloadSize
	}
	return nil
}
