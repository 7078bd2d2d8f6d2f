package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// text is a JSON field that may be absent, null or a string.
type text struct {
	set  bool
	null bool
	s    string
}

func (t *text) UnmarshalJSON(b []byte) error {
	t.set = true
	if string(b) == "null" {
		t.null = true
		return nil
	}
	if b[0] != '"' {
		return errors.New("keys and values are strings or null: put other JSON into a string")
	}
	return json.Unmarshal(b, &t.s)
}

// binary is a JSON string in base64.
type binary []byte

// jsonRecord is what a line may hold. Topic and offset are there so that what
// consume wrote can be produced as it is; they say where a record was, not
// where it goes.
type jsonRecord struct {
	Topic       json.RawMessage `json:"topic"`
	Offset      json.RawMessage `json:"offset"`
	Partition   *uint32         `json:"partition"`
	Timestamp   *int64          `json:"timestamp"`
	Key         text            `json:"key"`
	KeyBase64   *binary         `json:"key_base64"`
	Value       text            `json:"value"`
	ValueBase64 *binary         `json:"value_base64"`
	Headers     headerList      `json:"headers"`
}

type jsonHeader struct {
	Key         text    `json:"key"`
	KeyBase64   *binary `json:"key_base64"`
	Value       text    `json:"value"`
	ValueBase64 *binary `json:"value_base64"`
}

// ParseJSON reads one JSON object in the form that AppendJSON writes. Only
// "value" or "value_base64" must be there: a record without a value is a
// tombstone, which nobody should write by a slip.
func ParseJSON(line []byte) (Record, error) {
	var j jsonRecord
	if err := decodeStrict(line, &j); err != nil {
		return Record{}, err
	}
	key, err := bytesOf("key", j.Key, j.KeyBase64)
	if err != nil {
		return Record{}, err
	}
	if !j.Value.set && j.ValueBase64 == nil {
		return Record{}, errors.New(`"value" is missing: write "value":null for a tombstone`)
	}
	value, err := bytesOf("value", j.Value, j.ValueBase64)
	if err != nil {
		return Record{}, err
	}
	r := Record{Partition: AnyPartition, Key: key, Value: value, Headers: j.Headers}
	if j.Partition != nil {
		r.Partition = int64(*j.Partition)
	}
	if j.Timestamp != nil {
		r.Timestamp = time.UnixMilli(*j.Timestamp)
	}
	return r, nil
}

// bytesOf chooses between a field and its base64 form; nil when neither is
// there.
func bytesOf(name string, plain text, coded *binary) ([]byte, error) {
	switch {
	case plain.set && coded != nil:
		return nil, fmt.Errorf("%q and %q are both there: give one", name, name+"_base64")
	case coded != nil:
		return *coded, nil
	case !plain.set || plain.null:
		return nil, nil
	default:
		return []byte(plain.s), nil
	}
}

func (b *binary) UnmarshalJSON(raw []byte) error {
	var decoded []byte
	if err := json.Unmarshal(raw, &decoded); err != nil || decoded == nil {
		return errors.New("a field ending in _base64 holds a string in standard base64")
	}
	*b = decoded
	return nil
}

// headerList reads both forms of headers, keeping their order.
type headerList []Header

func (l *headerList) UnmarshalJSON(raw []byte) error {
	switch raw[0] {
	case '{':
		return l.readObject(raw)
	case '[':
		return l.readList(raw)
	case 'n':
		return nil
	default:
		return errors.New(`"headers" is an object, or a list of {"key","value"} objects`)
	}
}

// readObject walks the tokens: a map would lose the order.
func (l *headerList) readObject(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		var value text
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("header %q: %w", key, err)
		}
		h := Header{Key: key}
		if !value.null {
			h.Value = []byte(value.s)
		}
		*l = append(*l, h)
	}
	return nil
}

func (l *headerList) readList(raw []byte) error {
	var list []jsonHeader
	if err := decodeStrict(raw, &list); err != nil {
		return err
	}
	for i, j := range list {
		key, err := bytesOf("key", j.Key, j.KeyBase64)
		if err != nil {
			return err
		}
		if key == nil {
			return fmt.Errorf("header %d has no key", i+1)
		}
		value, err := bytesOf("value", j.Value, j.ValueBase64)
		if err != nil {
			return err
		}
		*l = append(*l, Header{Key: string(key), Value: value})
	}
	return nil
}

// decodeStrict decodes exactly one JSON value and refuses fields that it does
// not know: a misspelt one would be dropped in silence.
func decodeStrict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the JSON object is cut short: write one object per line")
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows the JSON object: write one object per line")
	}
	return nil
}
