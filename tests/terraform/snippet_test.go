package terraform

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	heredoc = regexp.MustCompile(`(?s)<<-GO\n(.*?)\n  GO\n`)
	choice  = regexp.MustCompile(`\$\{var\.tls_secret_arn == null \? "" : "((?:[^"\\]|\\.)*)"\}`)
	value   = regexp.MustCompile(`\$\{[^}]*\}`)
)

// The code that an apply prints compiles as it is pasted, with TLS and without.
func TestSnippet(t *testing.T) {
	found := heredoc.FindSubmatch(read(t, filepath.Join(root, "modules/stack/outputs.tf")))
	if found == nil {
		t.Fatal("the stack gives no snippet")
	}
	text := string(found[1])
	if !choice.MatchString(text) {
		t.Fatal("the snippet does not depend on TLS")
	}
	for name, test := range map[string]struct{ options, imports string }{
		"plaintext": {"", ""},
		"tls":       {strings.ReplaceAll(choice.FindStringSubmatch(text)[1], `\"`, `"`), "\"crypto/tls\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code := value.ReplaceAllString(choice.ReplaceAllLiteralString(text, test.options), "agents.streamhouse.internal")
			file := filepath.Join(t.TempDir(), "main.go")
			source := "package main\n\nimport (\n\"context\"\n\"fmt\"\n" + test.imports + "\n\"github.com/streamhouse/streamhouse/libs/producer\"\n)\n\n" +
				"func main() { _ = send() }\n\nfunc send() error {\n" + code + "\nreturn nil\n}\n"
			if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s\n%s", err, out, source)
			}
		})
	}
}
