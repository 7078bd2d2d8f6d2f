package terraform

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of the READMEs anew")

const (
	begin = "<!-- begin: go test ./tests/terraform -run README -update -->\n"
	end   = "<!-- end -->\n"
)

// A README's tables and the module say the same.
func TestREADME(t *testing.T) {
	for _, m := range modules(t) {
		if strings.HasPrefix(m.name, "examples") {
			continue // they say what they are at their top
		}
		t.Run(m.name, func(t *testing.T) {
			name := filepath.Join(root, m.name, "README.md")
			was := read(t, name)
			before, rest, ok := bytes.Cut(was, []byte(begin))
			_, after, closed := bytes.Cut(rest, []byte(end))
			if !ok || !closed {
				t.Fatalf("%s has no place for its tables: give it the lines\n%s%s", name, begin, end)
			}
			want := string(before) + begin + m.tables() + end + string(after)
			if *update {
				if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want != string(was) {
				t.Errorf("the tables of %s are not those of the module: run 'go test ./tests/terraform -run README -update'", name)
			}
		})
	}
}

func (m module) tables() string {
	var s strings.Builder
	s.WriteString("\n| input | type | default | |\n|---|---|---|---|\n")
	for _, required := range []bool{true, false} {
		for _, name := range sorted(m.variables) {
			v := m.variables[name]
			_, optional := v.Body.Attributes["default"]
			if optional == required {
				continue
			}
			def := "required"
			if optional {
				def = "`" + v.text("default") + "`"
			}
			fmt.Fprintf(&s, "| `%s` | `%s` | %s | %s |\n", name, strings.Join(strings.Fields(v.text("type")), " "), def, v.words("description"))
		}
	}
	s.WriteString("\n| output | |\n|---|---|\n")
	for _, name := range sorted(m.outputs) {
		fmt.Fprintf(&s, "| `%s` | %s |\n", name, m.outputs[name].words("description"))
	}
	return s.String() + "\n"
}

// Whoever reads a plan or an error has a sentence for everything.
func TestDescriptions(t *testing.T) {
	for _, m := range modules(t) {
		for kind, all := range map[string]map[string]block{"variable": m.variables, "output": m.outputs} {
			for name, b := range all {
				if d := b.words("description"); !strings.HasSuffix(d, ".") {
					t.Errorf("%s: %s %s is described as %q, which is no sentence", m.name, kind, name, d)
				}
				if kind == "variable" && b.text("type") == "" {
					t.Errorf("%s: variable %s has no type", m.name, name)
				}
			}
		}
	}
}
