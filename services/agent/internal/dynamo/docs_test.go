package dynamo_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// docs/formats.md lists the tables that the agent uses. What Terraform makes is
// held to that list in turn, by tests/terraform.
func TestDocs(t *testing.T) {
	raw, err := os.ReadFile("../../../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, line := range regexp.MustCompile("(?m)^\\| `<prefix>-([a-z]+)` .*$").FindAllStringSubmatch(string(raw), -1) {
		rows[line[1]] = line[0]
	}
	for _, kind := range meta.Kinds() {
		partition, sort, err := dynamo.Keys(kind)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll("| `<prefix>-"+string(kind)+"` | "+partition+" | "+sort+" |", "|  |", "| |")
		if rows[string(kind)] != want {
			t.Errorf("docs/formats.md should have\n%s\nand has\n%s", want, rows[string(kind)])
		}
		delete(rows, string(kind))
	}
	for name := range rows {
		t.Errorf("docs/formats.md lists a table of %s, which are no rows", name)
	}
}
