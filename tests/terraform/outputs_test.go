package terraform

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	told  = regexp.MustCompile("Terraform's output `([a-z_]+)`")
	asked = regexp.MustCompile(`terraform( -chdir=[^ ]+)? output( -raw| -json)? ([a-z_]+)`)
)

// The agent's errors, the docs and the scripts send people to outputs that
// there are.
func TestOutputs(t *testing.T) {
	top, registry := parse(t, root), parse(t, filepath.Join(root, "registry"))
	var found []string
	check := func(file string, m module, output string) {
		found = append(found, output)
		if _, ok := m.outputs[output]; !ok {
			t.Errorf("%s names the output %s, which %s does not have", file, output, m.name)
		}
	}
	for _, file := range prose(t) {
		text := string(read(t, file))
		for _, match := range told.FindAllStringSubmatch(text, -1) {
			check(file, top, match[1])
		}
		for _, match := range asked.FindAllStringSubmatch(text, -1) {
			m := top
			if strings.HasSuffix(match[1], "/registry") {
				m = registry
			}
			check(file, m, match[3])
		}
	}
	for _, output := range []string{"bucket", "table_prefix", "task_role", "repository_url", "client_security_group_id"} {
		if !slices.Contains(found, output) {
			t.Errorf("nothing names the output %s", output)
		}
	}
}

// prose lists the files that speak to people who have applied.
func prose(t *testing.T) []string {
	t.Helper()
	files := []string{"../../infra/deploy", "../../infra/destroy", "../../README.md"}
	for _, folder := range []string{"../../docs", "../../services/agent", "../../cmd"} {
		err := fs.WalkDir(os.DirFS(folder), ".", func(path string, _ fs.DirEntry, err error) error {
			goes := strings.HasSuffix(path, ".md") || strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
			if goes {
				files = append(files, filepath.Join(folder, path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}
