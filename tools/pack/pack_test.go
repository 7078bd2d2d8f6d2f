package main

import (
	"archive/zip"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository writes a small repository whose go.mod files are as here, but for
// those given.
func repository(t *testing.T, changed map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"LICENSE":      "the license\n",
		"proto/go.mod": "module github.com/streamhouse/streamhouse/proto\n",
		"proto/a/a.go": "package a\n",
	}
	for _, dir := range slices.Concat(released, unreleased) {
		if dir != "proto" {
			files[dir+"/go.mod"] = goMod(dir, "v0.1.0")
		}
	}
	maps.Copy(files, changed)
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func goMod(dir, version string) string {
	return "module " + prefix + dir + "\n\ngo 1.25.0\n\nrequire " + prefix + "proto " + version +
		"\n\nreplace " + prefix + "proto => ../../proto\n"
}

// unzip reads a packed zip into a map by name inside the module.
func unzip(t *testing.T, out, dir string) map[string]string {
	t.Helper()
	r, err := zip.OpenReader(filepath.Join(out, prefix+dir, "@v", "v0.1.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	files := make(map[string]string)
	for _, f := range r.File {
		content, err := r.Open(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(f.Name, prefix+dir+"@v0.1.0/")] = string(data)
	}
	return files
}

// A replace that stays makes go install refuse the module; a module without a
// license is not shown on pkg.go.dev; a go.mod that differs between the .mod
// file and the zip is refused as corrupt.
func TestPackStripsReplacesAndAddsTheLicense(t *testing.T) {
	out := t.TempDir()
	version, err := pack(repository(t, nil), out)
	if err != nil {
		t.Fatal(err)
	}
	if version != "v0.1.0" {
		t.Errorf("packed version %s, want v0.1.0", version)
	}
	for _, dir := range released {
		files := unzip(t, out, dir)
		if files["LICENSE"] != "the license\n" {
			t.Errorf("%s: LICENSE is %q", dir, files["LICENSE"])
		}
		if strings.Contains(files["go.mod"], "replace") {
			t.Errorf("%s: go.mod still replaces:\n%s", dir, files["go.mod"])
		}
		mod, err := os.ReadFile(filepath.Join(out, prefix+dir, "@v", "v0.1.0.mod"))
		if err != nil {
			t.Fatal(err)
		}
		if string(mod) != files["go.mod"] {
			t.Errorf("%s: the .mod file differs from the zip's go.mod", dir)
		}
	}
	if got := unzip(t, out, "proto")["a/a.go"]; got != "package a\n" {
		t.Errorf("proto: a/a.go is %q", got)
	}
}

// A module in another one's folder is not in the other one's zip, which the go
// command would refuse.
func TestPackLeavesInnerModulesOut(t *testing.T) {
	out := t.TempDir()
	if _, err := pack(repository(t, map[string]string{"libs/producer/otel/a.go": "package a\n"}), out); err != nil {
		t.Fatal(err)
	}
	for name := range unzip(t, out, "libs/producer") {
		if strings.HasPrefix(name, "otel/") {
			t.Errorf("libs/producer holds %s", name)
		}
	}
	if unzip(t, out, "libs/producer/otel")["a.go"] == "" {
		t.Error("libs/producer/otel lacks a.go")
	}
}

// Each of these would publish modules that do not work together.
func TestPackRefuses(t *testing.T) {
	for name, c := range map[string]struct{ file, content, want string }{
		"two versions": {
			"tests/go.mod", goMod("tests", "v0.2.0"), "one version",
		},
		"a sibling that is not released": {
			"cmd/streamhouse/go.mod", "module " + prefix + "cmd/streamhouse\n\nrequire " + prefix + "tests v0.1.0\n", "not released",
		},
		"a replace of somebody else's module": {
			"services/agent/go.mod", goMod("services/agent", "v0.1.0") + "\nreplace example.com/a => example.com/b v1.0.0\n", "example.com/a",
		},
		"a wrong module path": {
			"libs/producer/go.mod", goMod("libs/other", "v0.1.0"), "must say",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pack(repository(t, map[string]string{c.file: c.content}), t.TempDir())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("pack = %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestPackNeedsAVersion(t *testing.T) {
	bare := make(map[string]string)
	for _, dir := range slices.Concat(released, unreleased) {
		bare[dir+"/go.mod"] = "module " + prefix + dir + "\n"
	}
	if version, err := pack(repository(t, bare), t.TempDir()); err == nil {
		t.Errorf("pack = %s where nothing says a version", version)
	}
}
