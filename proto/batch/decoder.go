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
	cursor  cursor
	base    int64
	records uint32
	left    uint32
	payload []byte         // reused for what was compressed
	headers []RecordHeader // reused for every record
	err     error
}

// Reset checks a whole stored batch, CRC included, decompresses it, and makes
// Next start at its first record. It allocates at most MaxSize however the
// batch was compressed. b must not change while records are in use.
func (d *Decoder) Reset(b []byte) (Header, error) {
	d.cursor, d.left, d.err = cursor{}, 0, nil
	h, err := Check(b)
	if err == nil {
		err = d.open(&h, b[HeaderSize:])
	}
	if err != nil {
		d.err = err
		return Header{}, err
	}
	return h, nil
}

func (d *Decoder) open(h *Header, stored []byte) error {
	payload := stored
	if h.Codec != None {
		d.payload = slices.Grow(d.payload[:0], int(h.PayloadSize))[:h.PayloadSize]
		if err := decompress(h.Codec, d.payload, stored); err != nil {
			return fmt.Errorf("%w: decompress %s payload: %w", ErrCorrupt, h.Codec, err)
		}
		payload = d.payload
	}
	d.cursor.b = payload
	d.base = h.BaseTimestamp
	d.records, d.left = h.Records, h.Records
	return nil
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
	c := &d.cursor
	r.Timestamp = d.base + unzigzag(c.uvarint())
	r.Key = c.nullable()
	r.Value = c.nullable()
	r.Headers = nil
	if n := c.uvarint(); n > 0 {
		r.Headers = d.readHeaders(n)
	}
	if c.bad || (d.left == 0 && c.left() > 0) {
		d.fail()
		return false
	}
	return true
}

// Err returns what Reset or Next found wrong. It is nil after a batch that was
// read to its end.
func (d *Decoder) Err() error { return d.err }

func (d *Decoder) fail() {
	switch {
	case d.err != nil: // readHeaders said it already
	case d.cursor.bad:
		d.err = fmt.Errorf("%w: record %d of %d is cut off", ErrCorrupt, d.records-d.left, d.records)
	default:
		d.err = fmt.Errorf("%w: %d bytes follow the last of %d records", ErrCorrupt, d.cursor.left(), d.records)
	}
	d.left = 0
}

// readHeaders checks n before it allocates by it: a header takes 2 bytes.
func (d *Decoder) readHeaders(n uint64) []RecordHeader {
	c := &d.cursor
	if n > uint64(c.left())/2 {
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
