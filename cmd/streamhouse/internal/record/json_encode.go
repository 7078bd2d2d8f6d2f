package record

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends r as one JSON object without a line end:
//
//	{"partition":0,"offset":7,"timestamp":1700000000000,"key":"k","value":"v","headers":{"h":"x"}}
//
// The timestamp is in milliseconds since the epoch. Bytes that are not UTF-8
// stand in base64 under "key_base64" or "value_base64" instead, null as null.
// Headers are an object where that loses nothing; when a key repeats or bytes
// are not UTF-8 they are a list of {"key","value"} objects instead. There are
// none of them when the record has none. ParseJSON reads all of it back.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"partition":`...)
	dst = strconv.AppendInt(dst, r.Partition, 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendUint(dst, r.Offset, 10)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10)
	dst = appendField(append(dst, ','), "key", r.Key)
	dst = appendField(append(dst, ','), "value", r.Value)
	if len(r.Headers) > 0 {
		dst = appendHeaders(append(dst, `,"headers":`...), r.Headers)
	}
	return append(dst, '}')
}

// appendField appends "name":"text", "name":null or "name_base64":"...".
func appendField(dst []byte, name string, value []byte) []byte {
	dst = append(append(dst, '"'), name...)
	switch {
	case value == nil:
		return append(dst, `":null`...)
	case utf8.Valid(value):
		return appendString(append(dst, `":`...), value)
	default:
		dst = base64.StdEncoding.AppendEncode(append(dst, `_base64":"`...), value)
		return append(dst, '"')
	}
}

func appendHeaders(dst []byte, headers []Header) []byte {
	if !fitsObject(headers) {
		return appendHeaderList(dst, headers)
	}
	dst = append(dst, '{')
	for i, h := range headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, []byte(h.Key)), ':')
		if h.Value == nil {
			dst = append(dst, "null"...)
		} else {
			dst = appendString(dst, h.Value)
		}
	}
	return append(dst, '}')
}

func appendHeaderList(dst []byte, headers []Header) []byte {
	dst = append(dst, '[')
	for i, h := range headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendField(append(dst, '{'), "key", []byte(h.Key))
		dst = appendField(append(dst, ','), "value", h.Value)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// fitsObject reports whether a JSON object can carry the headers: tools keep
// only one of two equal keys.
func fitsObject(headers []Header) bool {
	for i, h := range headers {
		if !utf8.ValidString(h.Key) || !utf8.Valid(h.Value) {
			return false
		}
		for _, earlier := range headers[:i] {
			if earlier.Key == h.Key {
				return false
			}
		}
	}
	return true
}

// appendString appends s, which is UTF-8, as a JSON string.
func appendString(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i, c := range s {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}
