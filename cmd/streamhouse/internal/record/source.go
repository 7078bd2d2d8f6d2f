package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Source yields records from text. Next fills r and returns nil, or returns
// io.EOF after the last record. The bytes that r points to are valid until the
// next call. A source is for one goroutine.
type Source interface {
	Next(r *Record) error
}

// TextOptions say how a line becomes a record.
type TextOptions struct {
	// KeySeparator ends the key of every line; without one, lines have no key.
	KeySeparator string
	// Null, when not empty, is how a null key or value is written.
	Null string
	// Headers are set on every record.
	Headers []Header
}

// NewLines reads one record per line. A line ends with a line feed, which is
// not part of it; every other byte is kept, a carriage return as well. The
// last line may lack its line feed. A line above limit bytes is an error.
func NewLines(r io.Reader, limit int, o TextOptions) Source {
	return &lines{lineReader: newLineReader(r, limit), o: o}
}

type lines struct {
	*lineReader
	o TextOptions
}

func (s *lines) Next(r *Record) error {
	line, err := s.next()
	if err != nil {
		return err
	}
	*r = Record{Partition: AnyPartition, Value: line, Headers: s.o.Headers}
	if s.o.KeySeparator != "" {
		key, value, found := bytes.Cut(line, []byte(s.o.KeySeparator))
		if !found {
			return fmt.Errorf("line %d has no key separator %q: give the one that your input uses",
				s.number, s.o.KeySeparator)
		}
		r.Key, r.Value = s.o.unlessNull(key), value
	}
	r.Value = s.o.unlessNull(r.Value)
	return nil
}

// unlessNull turns the marker for null into nil, and keeps an empty value
// apart from it.
func (o *TextOptions) unlessNull(b []byte) []byte {
	if o.Null != "" && string(b) == o.Null {
		return nil
	}
	if b == nil {
		return []byte{}
	}
	return b
}

// NewJSONLines reads one JSON object per line, in the form of ParseJSON;
// empty lines are skipped. The headers are added to those of every record.
func NewJSONLines(r io.Reader, limit int, headers []Header) Source {
	// Base64 takes 4 bytes for 3, an escaped control character 6 for 1.
	const widest = 6
	return &jsonLines{lineReader: newLineReader(r, widest*limit), headers: headers}
}

type jsonLines struct {
	*lineReader
	headers []Header
}

func (s *jsonLines) Next(r *Record) error {
	for {
		line, err := s.next()
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		parsed, err := ParseJSON(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", s.number, err)
		}
		*r = parsed
		r.Headers = append(r.Headers, s.headers...)
		return nil
	}
}

// NewWhole reads all of r as the value of one record. More than limit bytes
// are an error.
func NewWhole(r io.Reader, limit int, o TextOptions) Source {
	return &whole{r: r, limit: limit, o: o}
}

type whole struct {
	r     io.Reader
	limit int
	o     TextOptions
	done  bool
}

func (s *whole) Next(r *Record) error {
	if s.done {
		return io.EOF
	}
	s.done = true
	value, err := io.ReadAll(io.LimitReader(s.r, int64(s.limit)+1))
	if err != nil {
		return fmt.Errorf("read input: %w", err)
	}
	if len(value) > s.limit {
		return fmt.Errorf("the input is longer than a record may be, %d bytes: split it", s.limit)
	}
	*r = Record{Partition: AnyPartition, Value: s.o.unlessNull(value), Headers: s.o.Headers}
	return nil
}

// lineReader reads lines of bounded length.
type lineReader struct {
	r      *bufio.Reader
	limit  int
	number int
	long   []byte
}

func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 256<<10), limit: limit}
}

// next returns the next line without its line feed, or io.EOF. The line is
// valid until the next call.
func (l *lineReader) next() ([]byte, error) {
	l.number++
	line, err := l.r.ReadSlice('\n')
	l.long = l.long[:0]
	for errors.Is(err, bufio.ErrBufferFull) && len(l.long)+len(line) <= l.limit {
		l.long = append(l.long, line...)
		line, err = l.r.ReadSlice('\n')
	}
	if len(l.long) > 0 {
		l.long = append(l.long, line...)
		line = l.long
	}
	if err == nil {
		line = line[:len(line)-1]
	}
	switch {
	case len(line) > l.limit:
		return nil, fmt.Errorf("line %d is longer than a record may be, %d bytes: split it", l.number, l.limit)
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, io.EOF
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("read input: %w", err)
	}
	return line, nil
}
