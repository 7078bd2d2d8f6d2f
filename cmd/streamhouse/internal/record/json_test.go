package record

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func header(key string, value []byte) Header { return Header{Key: key, Value: value} }

var someRecords = map[string]Record{
	"plain":          {Partition: 3, Offset: 7, Timestamp: time.UnixMilli(1_700_000_000_123), Key: []byte("k"), Value: []byte("v")},
	"null":           {Timestamp: time.UnixMilli(0)},
	"empty":          {Timestamp: time.UnixMilli(-5), Key: []byte{}, Value: []byte{}},
	"binary":         {Timestamp: time.UnixMilli(1), Key: []byte{0xff, 0}, Value: []byte{0x80, '\n', 0xfe}},
	"control":        {Timestamp: time.UnixMilli(1), Value: []byte("\x00\x1f\t\r\n\"\\<&>\u2028\x7fü")},
	"headers":        {Timestamp: time.UnixMilli(1), Value: []byte("v"), Headers: []Header{header("z", []byte("1")), header("a", nil), header("", []byte{})}},
	"repeated":       {Timestamp: time.UnixMilli(1), Value: []byte("v"), Headers: []Header{header("a", []byte("1")), header("b", nil), header("a", []byte("2"))}},
	"binary headers": {Timestamp: time.UnixMilli(1), Value: []byte("v"), Headers: []Header{header("\xff", []byte{0xfe}), header("n", nil)}},
}

// What consume writes, produce must read back to the byte: this pair is how
// people copy a topic.
func TestJSONRoundTrip(t *testing.T) {
	for name, want := range someRecords {
		t.Run(name, func(t *testing.T) { checkRoundTrip(t, &want) })
	}
}

func checkRoundTrip(t *testing.T, want *Record) {
	t.Helper()
	line := want.AppendJSON(nil)
	if !json.Valid(line) {
		t.Fatalf("not JSON: %q", line)
	}
	got, err := ParseJSON(line)
	if err != nil {
		t.Fatalf("parse %q: %v", line, err)
	}
	got.Offset = want.Offset // where it was, not where it goes
	if !reflect.DeepEqual(got, *want) {
		t.Errorf("line %q\n got %#v\nwant %#v", line, got, *want)
	}
}

func FuzzJSONRoundTrip(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), []byte("h"), []byte("x"), int64(1), byte(0))
	f.Add([]byte{0xff}, []byte{}, []byte("\""), []byte{0x80}, int64(-1), byte(3))
	f.Fuzz(func(t *testing.T, key, value, name, note []byte, ms int64, shape byte) {
		ms %= 1 << 50
		r := Record{Timestamp: time.UnixMilli(ms), Key: emptyNotNil(key), Value: emptyNotNil(value)}
		if shape&1 != 0 {
			r.Value = nil
		}
		for range shape >> 1 & 3 {
			r.Headers = append(r.Headers, header(string(name), emptyNotNil(note)))
		}
		checkRoundTrip(t, &r)
	})
}

func emptyNotNil(b []byte) []byte { return append([]byte{}, b...) }

// The encoder writes its own strings; any JSON reader must see the same text.
func TestStringsAreStandardJSON(t *testing.T) {
	r := someRecords["control"]
	var got struct{ Value string }
	if err := json.Unmarshal(r.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	if got.Value != string(r.Value) {
		t.Errorf("got %q, want %q", got.Value, r.Value)
	}
}

func TestParseJSONForms(t *testing.T) {
	tests := map[string]struct {
		line string
		want Record
	}{
		"least": {`{"value":"v"}`, Record{Partition: AnyPartition, Value: []byte("v")}},
		"tombstone": {
			`{"key":"k","value":null}`,
			Record{Partition: AnyPartition, Key: []byte("k")},
		},
		"base64": {
			`{"key_base64":"/w==","value_base64":""}`,
			Record{Partition: AnyPartition, Key: []byte{0xff}, Value: []byte{}},
		},
		"place is read, offset and topic are not": {
			`{"topic":"t","partition":4,"offset":9,"timestamp":5,"value":""}`,
			Record{Partition: 4, Timestamp: time.UnixMilli(5), Value: []byte{}},
		},
		"header object": {
			`{"value":"v","headers":{"b":"1","a":null,"b":"2"}}`,
			Record{Partition: AnyPartition, Value: []byte("v"), Headers: []Header{header("b", []byte("1")), header("a", nil), header("b", []byte("2"))}},
		},
		"header list": {
			`{"value":"v","headers":[{"key":"b","value_base64":"/w=="},{"key":"a"}]}`,
			Record{Partition: AnyPartition, Value: []byte("v"), Headers: []Header{header("b", []byte{0xff}), header("a", nil)}},
		},
		"no headers": {`{"value":"v","headers":null}`, Record{Partition: AnyPartition, Value: []byte("v")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseJSON([]byte(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
		})
	}
}

// Each of these would write something else than the user meant.
func TestParseJSONRefuses(t *testing.T) {
	tests := map[string]struct{ line, want string }{
		"no value":        {`{"key":"k"}`, `"value" is missing`},
		"misspelt":        {`{"vaule":"v","value":"x"}`, `unknown field "vaule"`},
		"both forms":      {`{"value":"v","value_base64":"dg=="}`, "are both there"},
		"number":          {`{"value":5}`, "strings or null"},
		"object":          {`{"value":{"a":1}}`, "put other JSON into a string"},
		"bad base64":      {`{"value_base64":"*"}`, "standard base64"},
		"cut":             {`{"value":"v"`, "cut short"},
		"two objects":     {`{"value":"v"}{"value":"w"}`, "more follows"},
		"headers string":  {`{"value":"v","headers":"h"}`, `"headers" is an object`},
		"header number":   {`{"value":"v","headers":{"h":1}}`, `header "h"`},
		"header no key":   {`{"value":"v","headers":[{"value":"x"}]}`, "header 1 has no key"},
		"negative place":  {`{"value":"v","partition":-1}`, "partition"},
		"not JSON at all": {`hello`, "invalid character"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseJSON([]byte(tt.line))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestAppendJSONAllocatesNothing(t *testing.T) {
	r := someRecords["headers"]
	buf := make([]byte, 0, 1<<10)
	if n := testing.AllocsPerRun(100, func() { buf = r.AppendJSON(buf[:0]) }); n > 3 {
		t.Errorf("%v allocations, want at most one for each header's key", n)
	}
	if !bytes.HasSuffix(buf, []byte(`"headers":{"z":"1","a":null,"":""}}`)) {
		t.Errorf("got %s", buf)
	}
}
