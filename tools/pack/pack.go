package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// prefix begins the path of every module of this repository; the module's
// folder follows.
const prefix = "github.com/streamhouse/streamhouse/"

// released are the folders of the modules that people import or install.
var released = []string{
	"proto", "libs/producer", "libs/producer/otel", "libs/producer/prometheus",
	"services/agent", "cmd/streamhouse",
}

// unreleased are the folders of the modules that require those as well.
var unreleased = []string{"tests", "tests/bench"}

// pack writes every released module into the file GOPROXY out and returns
// their common version.
func pack(root, out string) (string, error) {
	version, files, err := readModules(root)
	if err != nil {
		return "", err
	}
	for _, dir := range released {
		goMod, err := strip(files[dir])
		if err != nil {
			return "", fmt.Errorf("%s: %w", dir, err)
		}
		m := module.Version{Path: prefix + dir, Version: version}
		if err := packModule(root, dir, out, m, goMod); err != nil {
			return "", fmt.Errorf("pack %s: %w", dir, err)
		}
	}
	return version, nil
}

// packModule writes one module in the four files that the go command asks a
// proxy for.
func packModule(root, dir, out string, m module.Version, goMod []byte) error {
	escaped, err := module.EscapePath(m.Path)
	if err != nil {
		return err
	}
	base := filepath.Join(out, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(base, 0o700); err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{m.Version, time.Now().UTC()})
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"list":              []byte(m.Version + "\n"),
		m.Version + ".info": info,
		m.Version + ".mod":  goMod,
	} {
		if err := os.WriteFile(filepath.Join(base, name), data, 0o600); err != nil {
			return err
		}
	}
	return writeZip(root, dir, filepath.Join(base, m.Version+".zip"), m, goMod)
}

// writeZip zips a copy of the module's folder in which the go.mod is the one
// given and, as the go command does for a tagged repository, the root's
// license stands.
func writeZip(root, dir, file string, m module.Version, goMod []byte) (err error) {
	folder, err := os.MkdirTemp("", "pack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(root, filepath.FromSlash(dir)))); err != nil {
		return err
	}
	license, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"go.mod": goMod, "LICENSE": license} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			return err
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	return zip.CreateFromDir(f, m, folder)
}

// sibling says whether a module path is of this repository.
func sibling(path string) bool { return strings.HasPrefix(path, prefix) }
