package table

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWrite(t *testing.T) {
	var b strings.Builder
	columns := []Column{{Title: "NAME", Flexible: true}, {Title: "COUNT", Right: true}, {Title: "NOTE"}}
	if err := Write(&b, columns, [][]string{{"orders", "8", "x"}, {"größe", "1,000", ""}}); err != nil {
		t.Fatal(err)
	}
	want := "NAME    COUNT  NOTE\n" +
		"orders      8  x\n" +
		"größe   1,000\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// A topic's name may have 249 characters: the table must still fit, and the
// name's two ends must stay visible.
func TestLongNameIsShortened(t *testing.T) {
	var b strings.Builder
	name := "head" + strings.Repeat("x", 241) + "tail"
	columns := []Column{{Title: "NAME", Flexible: true}, {Title: "ID", Right: true}}
	if err := Write(&b, columns, [][]string{{name, "4294967295"}}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > Width {
			t.Errorf("line of %d characters: %s", n, line)
		}
	}
	if !strings.Contains(b.String(), "headx") || !strings.Contains(b.String(), "xtail  4294967295") {
		t.Errorf("ends of the name are gone:\n%s", b.String())
	}
}
