package record

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// all drains a source, copying what is valid until the next call only.
func all(t *testing.T, s Source) ([]Record, error) {
	t.Helper()
	var records []Record
	for {
		var r Record
		if err := s.Next(&r); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return records, err
		}
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		records = append(records, r)
	}
}

func values(records []Record) []string {
	var v []string
	for _, r := range records {
		v = append(v, string(r.Value))
	}
	return v
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 300<<10) // above the reader's buffer
	tests := map[string]struct {
		input string
		want  []string
	}{
		"none":           {"", nil},
		"no last end":    {"a\nb", []string{"a", "b"}},
		"empty lines":    {"\n\na\n", []string{"", "", "a"}},
		"bytes are kept": {"\x00\xff\r\n \t\n", []string{"\x00\xff\r", " \t"}},
		"long":           {"a\n" + long + "\nb\n", []string{"a", long, "b"}},
		"long at end":    {long, []string{long}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := all(t, NewLines(strings.NewReader(tt.input), 1<<20, TextOptions{}))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(values(got), tt.want) {
				t.Errorf("got %d lines, want %d, or other content", len(got), len(tt.want))
			}
			for _, r := range got {
				if r.Key != nil || r.Value == nil || r.Partition != AnyPartition {
					t.Errorf("record %+v must have no key, a value and no partition", r)
				}
			}
		})
	}
}

// A line at the limit passes, one byte more does not, whether or not it is
// longer than the reader's buffer; and the error says which line it was.
func TestLineLimit(t *testing.T) {
	for _, limit := range []int{10, 256 << 10, 600 << 10} {
		fits := strings.Repeat("x", limit)
		if _, err := all(t, NewLines(strings.NewReader(fits+"\n"+fits), limit, TextOptions{})); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
		got, err := all(t, NewLines(strings.NewReader("ok\n"+fits+"x\nmore\n"), limit, TextOptions{}))
		if err == nil || !strings.Contains(err.Error(), "line 2 is longer") {
			t.Errorf("limit %d: error %v", limit, err)
		}
		if len(got) != 1 {
			t.Errorf("limit %d: %d records before the long line, want 1", limit, len(got))
		}
	}
}

func TestLinesWithKeysAndNulls(t *testing.T) {
	o := TextOptions{KeySeparator: "::", Null: "NULL", Headers: []Header{header("h", []byte("x"))}}
	got, err := all(t, NewLines(strings.NewReader("k::v::w\n::\nNULL::NULL\n"), 100, o))
	if err != nil {
		t.Fatal(err)
	}
	want := []Record{
		{Partition: AnyPartition, Key: []byte("k"), Value: []byte("v::w"), Headers: o.Headers},
		{Partition: AnyPartition, Key: []byte{}, Value: []byte{}, Headers: o.Headers},
		{Partition: AnyPartition, Headers: o.Headers},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, err = all(t, NewLines(strings.NewReader("a::b\nplain\n"), 100, o))
	if err == nil || !strings.Contains(err.Error(), `line 2 has no key separator "::"`) {
		t.Errorf("error %v", err)
	}
}

func TestJSONLines(t *testing.T) {
	input := `{"value":"a"}` + "\n\n  \r\n" + `{"value":"b","headers":{"x":"1"}}` + "\n" + `{"value":7}`
	got, err := all(t, NewJSONLines(strings.NewReader(input), 100, []Header{header("h", []byte("y"))}))
	if err == nil || !strings.Contains(err.Error(), "line 5: ") {
		t.Errorf("error %v, want one about line 5", err)
	}
	want := []Record{
		{Partition: AnyPartition, Value: []byte("a"), Headers: []Header{header("h", []byte("y"))}},
		{Partition: AnyPartition, Value: []byte("b"), Headers: []Header{header("x", []byte("1")), header("h", []byte("y"))}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWhole(t *testing.T) {
	content := bytes.Repeat([]byte{0, '\n', 0xff}, 100)
	got, err := all(t, NewWhole(bytes.NewReader(content), 300, TextOptions{}))
	if err != nil || len(got) != 1 || !bytes.Equal(got[0].Value, content) {
		t.Errorf("got %d records, error %v", len(got), err)
	}
	if _, err := all(t, NewWhole(bytes.NewReader(content), 299, TextOptions{})); err == nil {
		t.Error("an input above the limit must be refused")
	}
}

// A read error must not pass for the end of the input: the rest would be
// missing and the exit code 0.
func TestReadErrorsAreNotTheEnd(t *testing.T) {
	broken := errors.New("disk gone")
	for name, open := range map[string]func(io.Reader) Source{
		"lines": func(r io.Reader) Source { return NewLines(r, 100, TextOptions{}) },
		"json":  func(r io.Reader) Source { return NewJSONLines(r, 100, nil) },
		"whole": func(r io.Reader) Source { return NewWhole(r, 100, TextOptions{}) },
	} {
		input := io.MultiReader(strings.NewReader(`{"value":"a"}`+"\nhalf a li"), iotest.ErrReader(broken))
		if _, err := all(t, open(input)); !errors.Is(err, broken) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
