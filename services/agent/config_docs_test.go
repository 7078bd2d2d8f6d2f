package agent

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// row is what docs/configuration.md says of a flag. Hidden means that it says
// so under the heading of the settings for tests.
type row struct {
	env, def, value string
	hidden          bool
}

// documented reads the tables' rows that begin with a flag or a variable.
func documented(t *testing.T) (flags map[string]row, texts map[string]bool) {
	t.Helper()
	b, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	flags, texts = map[string]row{}, map[string]bool{}
	heading := ""
	for line := range strings.Lines(string(b)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			heading = strings.TrimSpace(title)
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		name := strings.Trim(cells[0], " `")
		switch {
		case strings.HasPrefix(line, "| `STREAMHOUSE_"):
			texts[name] = true
		case !strings.HasPrefix(line, "| `--") || !strings.HasPrefix(heading, "Settings"):
		case len(cells) != 5:
			t.Errorf("%d cells in: %s", len(cells), line)
		default:
			if _, twice := flags[name]; twice {
				t.Errorf("%s is listed twice", name)
			}
			flags[name] = row{env: cells[1], def: cells[2], value: cells[3], hidden: heading != "Settings"}
		}
	}
	return flags, texts
}

// The table in the docs and the flags of the program tell the same.
func TestDocs(t *testing.T) {
	flags, texts := documented(t)
	var c Config
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.Register(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		got, ok := flags["--"+f.Name]
		delete(flags, "--"+f.Name)
		if !ok {
			t.Errorf("--%s is not documented", f.Name)
			return
		}
		want := row{env: "`" + envName(f.Name) + "`", def: "`" + f.DefValue + "`", hidden: f.Hidden}
		if want.value, _ = pflag.UnquoteUsage(f); want.value == "" {
			want.value = "true or false"
		}
		if f.DefValue == "" && got.def != "" && !strings.Contains(got.def, "`") {
			want.def = got.def // words
		}
		if got != want {
			t.Errorf("--%s is documented as %+v, and is %+v", f.Name, got, want)
		}
	})
	for name := range flags {
		t.Errorf("%s is documented, and there is no such flag", name)
	}
	for _, name := range []string{envCertPEM, envKeyPEM, envClientCAPEM} {
		if !texts[name] {
			t.Errorf("%s is not documented", name)
		}
		delete(texts, name)
	}
	for name := range texts {
		t.Errorf("%s is documented, and there is no such variable", name)
	}
}
