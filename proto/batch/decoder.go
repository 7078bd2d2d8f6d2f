package batch

import (
	"fmt"
	"slices"
)

// Decoder reads the records of a batch:
//
//	if _, err := d.Reset(b); err != nil { ... }
//	for d.Next(&r) { ... }
//	if err := d.Err(); err != nil { ... }
//
// Its zero value is ready, and Reset reuses its memory. It is not safe for
// concurrent use.
type Decoder struct {
	payload []byte // reused for what was compressed
	rest    []byte
	headers []RecordHeader // reused for every record
	base    int64
	records uint32
	left    uint32
	err     error
}

// Reset checks a whole stored batch, CRC included, decompresses it, and makes
// Next start at its first record. It allocates at most MaxSize however the
// batch was compressed. b must not change while records are in use.
func (d *Decoder) Reset(b []byte) (Header, error) {
	d.rest, d.records, d.left = nil, 0, 0
	h, err := d.open(b)
	d.err = err
	return h, err
}

func (d *Decoder) open(b []byte) (Header, error) {
	h, err := Check(b)
	if err != nil {
		return Header{}, err
	}
	d.rest = b[HeaderSize:]
	if h.Codec != None {
		d.payload = slices.Grow(d.payload[:0], int(h.PayloadSize))[:h.PayloadSize]
		if err := decompress(h.Codec, d.payload, d.rest); err != nil {
			return Header{}, fmt.Errorf("%w: decompress %s payload: %w", ErrCorrupt, h.Codec, err)
		}
		d.rest = d.payload
	}
	d.base = h.BaseTimestamp
	d.records, d.left = h.Records, h.Records
	return h, nil
}

// Next reads the next record into r and tells whether there was one; after
// the last, and after an error, there is none. Its keys, values and header
// values alias the batch or the decoder's memory until the next Reset; the
// slice of headers is reused by the next Next.
func (d *Decoder) Next(r *Record) bool {
	if d.left == 0 {
		return false
	}
	d.left--
	c := cursor{rest: d.rest}
	r.Timestamp = d.base + unzigzag(c.uvarint())
	r.Key = c.nullable()
	r.Value = c.nullable()
	r.Headers = nil
	if n := c.uvarint(); n > 0 {
		r.Headers = d.readHeaders(&c, n)
	}
	d.rest = c.rest
	if c.bad || (d.left == 0 && len(c.rest) > 0) {
		return d.fail(c.bad)
	}
	return true
}

// Err returns what Reset or Next found wrong. It is nil after a batch that was
// read to its end.
func (d *Decoder) Err() error { return d.err }

func (d *Decoder) fail(cut bool) bool {
	at := d.records - d.left
	switch {
	case d.err != nil: // said already, by readHeaders
	case cut:
		d.err = fmt.Errorf("%w: record %d of %d is cut off", ErrCorrupt, at, d.records)
	default:
		d.err = fmt.Errorf("%w: %d bytes follow the last of %d records", ErrCorrupt, len(d.rest), d.records)
	}
	d.rest, d.left = nil, 0
	return false
}

// readHeaders checks n before it allocates by it: a header takes 2 bytes.
func (d *Decoder) readHeaders(c *cursor, n uint64) []RecordHeader {
	if n > uint64(len(c.rest))/2 {
		c.fail()
		return nil
	}
	if n > MaxHeaders {
		d.err = fmt.Errorf("%w: a record with %d headers, and the limit is %d", ErrTooLarge, n, MaxHeaders)
		c.fail()
		return nil
	}
	d.headers = slices.Grow(d.headers[:0], int(n))[:n]
	for i := range d.headers {
		h := &d.headers[i]
		key := c.take(c.uvarint())
		// Records of one log mostly repeat the names of the record before:
		// what lay in this place is reused rather than allocated again.
		if h.Key != string(key) {
			h.Key = string(key)
		}
		h.Value = c.nullable()
	}
	return d.headers
}
