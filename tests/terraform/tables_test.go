package terraform

import (
	"maps"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	documented = regexp.MustCompile("(?m)^\\| `<prefix>-([a-z]+)` \\| `([a-z]+)` \\(([SN])\\) \\|(?: `([a-z]+)` \\(N\\))? \\|$")
	created    = regexp.MustCompile(`(?m)^    ([a-z]+) += \{ hash = "([a-z]+)", type = "([SN])", range = (?:"([a-z]+)"|null) \}$`)
)

// keys are a table's: its hash key, the type of that, and its range key, a number.
type keys struct{ hash, kind, rng string }

func tables(source []byte, row *regexp.Regexp) map[string]keys {
	all := map[string]keys{}
	for _, match := range row.FindAllStringSubmatch(string(source), -1) {
		all[match[1]] = keys{hash: match[2], kind: match[3], rng: match[4]}
	}
	return all
}

// The storage module makes the tables of docs/formats.md, which a test of the
// agent holds to what it uses.
func TestTables(t *testing.T) {
	want := tables(read(t, "../../docs/formats.md"), documented)
	if len(want) == 0 {
		t.Fatal("docs/formats.md lists no tables")
	}
	got := tables(read(t, filepath.Join(root, "modules/storage/tables.tf")), created)
	if !maps.Equal(got, want) {
		t.Errorf("the storage module makes\n%v\nand docs/formats.md has\n%v", got, want)
	}
}
