package record

import (
	"strings"
	"testing"
	"time"
)

func TestTemplate(t *testing.T) {
	r := Record{
		Partition: 2, Offset: 41, Timestamp: time.UnixMilli(1_700_000_000_007),
		Key: []byte("k"), Value: []byte{0xff, '%'},
		Headers: []Header{header("a", []byte("1")), header("b", nil)},
	}
	tests := []struct{ template, want string }{
		{`%k\t%v\t%o\t%t\t%p\n`, "k\t\xff%\t41\t1700000000007\t2\n"},
		{`%K %V %T`, "aw== /yU= 2023-11-14T22:13:20.007Z"},
		{`[%h]`, "[a=1,b=NULL]"},
		{`100%% \\ \0\r`, "100% \\ \x00\r"},
		{``, ""},
		{`%o%o`, "4141"},
		{`ü%k`, "ük"},
	}
	for _, tt := range tests {
		compiled, err := ParseTemplate(tt.template, "NULL")
		if err != nil {
			t.Errorf("%s: %v", tt.template, err)
			continue
		}
		if got := string(compiled.Append(nil, &r)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.template, got, tt.want)
		}
	}
}

func TestTemplateNull(t *testing.T) {
	compiled, err := ParseTemplate(`%k|%v|%K|%V`, "-")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(compiled.Append(nil, &Record{Value: []byte{}})); got != "-||-|" {
		t.Errorf("got %q: null must show its marker, empty must not", got)
	}
}

func TestTemplateRefuses(t *testing.T) {
	for _, bad := range []string{`%x`, `\q`, `%`, `a\`, `%n`, `\k`} {
		if _, err := ParseTemplate(bad, ""); err == nil || !strings.Contains(err.Error(), "template") {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}
