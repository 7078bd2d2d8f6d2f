package batch

import (
	"slices"

	"github.com/klauspost/compress/s2"
)

const (
	// recordBound is the most that a record takes besides its bytes: a
	// timestamp (10), two lengths (5 each: no field reaches 32 GiB) and a
	// header count (3).
	recordBound = 10 + 5 + 5 + 3
	// headerBound is the same for each header: two lengths.
	headerBound = 5 + 5
)

// RecordSize returns an upper bound of the bytes that Append adds for r. A
// record with more than MaxHeaders headers counts as larger than any batch,
// since no decoder would take it.
func RecordSize(r *Record) int {
	n := recordBound + len(r.Key) + len(r.Value)
	if len(r.Headers) > 0 {
		n += headersSize(r.Headers)
	}
	return n
}

func headersSize(headers []RecordHeader) int {
	n := 0
	if len(headers) > MaxHeaders {
		n = MaxSize
	}
	for i := range headers {
		n += headerBound + len(headers[i].Key) + len(headers[i].Value)
	}
	return n
}

// Builder makes a batch: Append records, Compress if wanted, Seal. Its zero
// value is ready; Reset makes it ready again and keeps its memory. It is not
// safe for concurrent use.
type Builder struct {
	// buf is room for the header, then the payload as it stands. It is empty
	// until the first record.
	buf       []byte
	records   uint32
	codec     Codec
	payload   int // size before compression, once compressed
	base, max int64
}

// Reset empties b and keeps its buffer; what Seal returned is overwritten by
// the next batch.
func (b *Builder) Reset() { *b = Builder{buf: b.buf[:0]} }

// Len returns the number of records.
func (b *Builder) Len() int { return int(b.records) }

// Size returns the size of the batch in bytes, header included, as it is
// without compression.
func (b *Builder) Size() int {
	if b.codec != None {
		return HeaderSize + b.payload
	}
	return max(HeaderSize, len(b.buf))
}

// Grow makes room for n more bytes of payload, so that records of that
// RecordSize together are appended without allocation.
func (b *Builder) Grow(n int) {
	if len(b.buf) == 0 {
		n += HeaderSize
	}
	b.buf = slices.Grow(b.buf, n)
}

// Append adds a record and copies its bytes. The caller keeps Size plus
// RecordSize within MaxSize: a larger batch is refused wherever it is read.
// It allocates only when the buffer must grow.
func (b *Builder) Append(r *Record) {
	size := RecordSize(r)
	if b.records == 0 || cap(b.buf)-len(b.buf) < size {
		b.reserve(r, size)
	}
	b.max = max(b.max, r.Timestamp)
	b.records++

	start := len(b.buf)
	p := b.buf[start : start+size]
	n := putUvarint(p, zigzag(r.Timestamp-b.base))
	n += putNullable(p[n:], r.Key)
	n += putNullable(p[n:], r.Value)
	n += putUvarint(p[n:], uint64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		n += putUvarint(p[n:], uint64(len(h.Key)))
		n += copy(p[n:], h.Key)
		n += putNullable(p[n:], h.Value)
	}
	b.buf = b.buf[:start+n]
}

// reserve is what Append does for the first record, and when room runs out.
func (b *Builder) reserve(r *Record, size int) {
	b.Grow(size)
	if b.records == 0 {
		b.buf = b.buf[:HeaderSize]
		b.base, b.max = r.Timestamp, r.Timestamp
	}
}

func putNullable(p, field []byte) int {
	if field == nil {
		p[0] = 0
		return 1
	}
	n := putUvarint(p, uint64(len(field))+1)
	return n + copy(p[n:], field)
}

// Compress compresses the payload, or leaves it as it is where that does not
// make it smaller. It is called at most once, after the last Append.
func (b *Builder) Compress(c Codec) {
	if b.records == 0 || b.codec != None || c == None {
		return
	}
	payload := b.buf[HeaderSize:]
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	*buf = slices.Grow((*buf)[:0], s2.MaxEncodedLen(len(payload)))
	if out := compress(c, *buf, payload); out != nil {
		b.codec, b.payload = c, len(payload)
		b.buf = append(b.buf[:HeaderSize], out...)
	}
}

// Seal completes the batch with its header and returns it. The bytes are the
// builder's: they hold until Reset, or until Seal is called again to give the
// same records other ids. It returns nil where there is no record.
func (b *Builder) Seal(producerID, sequence uint64) []byte {
	if b.records == 0 {
		return nil
	}
	h := Header{
		Codec:         b.codec,
		Size:          uint32(len(b.buf)),
		PayloadSize:   uint32(b.Size() - HeaderSize),
		Records:       b.records,
		ProducerID:    producerID,
		Sequence:      sequence,
		BaseTimestamp: b.base,
		MaxTimestamp:  b.max,
	}
	h.put(b.buf)
	return b.buf
}
