package record

import (
	"encoding/base64"
	"fmt"
	"strconv"
)

// TemplateHelp lists the escapes of a template.
const TemplateHelp = `  %k  key                     %K  key in base64
  %v  value                   %V  value in base64
  %o  offset                  %p  partition
  %t  timestamp in ms         %T  timestamp in RFC 3339, UTC
  %h  headers: k=v,k=v        %%  a percent sign
  \n \t \r \0 \\              line feed, tab, return, zero byte, backslash`

// Template writes records in a form that its text describes; see TemplateHelp.
// It is safe for concurrent use.
type Template struct {
	parts []part
	null  []byte
}

// part is a run of fixed bytes, then a verb; verb 0 is none.
type part struct {
	literal []byte
	verb    byte
}

// ParseTemplate reads a template. Null stands for keys and values that are
// null.
func ParseTemplate(text, null string) (*Template, error) {
	t := &Template{null: []byte(null)}
	var literal []byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '%', '\\':
			i++
			if i == len(text) {
				return nil, fmt.Errorf("template ends with a single %q: write it twice", c)
			}
			if c == '%' && isVerb(text[i]) {
				t.parts = append(t.parts, part{literal, text[i]})
				literal = nil
				continue
			}
			b, err := unescape(c, text[i])
			if err != nil {
				return nil, err
			}
			literal = append(literal, b)
		default:
			literal = append(literal, c)
		}
	}
	t.parts = append(t.parts, part{literal: literal})
	return t, nil
}

func isVerb(c byte) bool {
	switch c {
	case 'k', 'K', 'v', 'V', 'o', 'p', 't', 'T', 'h':
		return true
	}
	return false
}

// unescape is the byte that an escape without a verb stands for.
func unescape(lead, c byte) (byte, error) {
	switch string([]byte{lead, c}) {
	case "%%", `\\`:
		return lead, nil
	case `\n`:
		return '\n', nil
	case `\t`:
		return '\t', nil
	case `\r`:
		return '\r', nil
	case `\0`:
		return 0, nil
	}
	return 0, fmt.Errorf("template has an unknown escape %s: use one that --help lists", []byte{lead, c})
}

// Append appends r as the template describes it, with no line end of its own.
func (t *Template) Append(dst []byte, r *Record) []byte {
	for _, p := range t.parts {
		dst = append(dst, p.literal...)
		dst = t.appendVerb(dst, p.verb, r)
	}
	return dst
}

func (t *Template) appendVerb(dst []byte, verb byte, r *Record) []byte {
	switch verb {
	case 'k':
		return t.appendBytes(dst, r.Key)
	case 'v':
		return t.appendBytes(dst, r.Value)
	case 'K':
		return t.appendBase64(dst, r.Key)
	case 'V':
		return t.appendBase64(dst, r.Value)
	case 'o':
		return strconv.AppendUint(dst, r.Offset, 10)
	case 'p':
		return strconv.AppendInt(dst, r.Partition, 10)
	case 't':
		return strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10)
	case 'T':
		return r.Timestamp.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	case 'h':
		return t.appendHeaders(dst, r.Headers)
	}
	return dst
}

func (t *Template) appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, t.null...)
	}
	return append(dst, b...)
}

func (t *Template) appendBase64(dst, b []byte) []byte {
	if b == nil {
		return append(dst, t.null...)
	}
	return base64.StdEncoding.AppendEncode(dst, b)
}

func (t *Template) appendHeaders(dst []byte, headers []Header) []byte {
	for i, h := range headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, h.Key...), '=')
		dst = t.appendBytes(dst, h.Value)
	}
	return dst
}
