package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// readModules reads the go.mod of every module, by folder, and finds the one
// version under which they require each other. Two versions would mean that a
// person who imports one module gets siblings that were never tried with it.
func readModules(root string) (version string, files map[string]*modfile.File, err error) {
	files = make(map[string]*modfile.File)
	for _, dir := range slices.Concat(released, unreleased) {
		f, err := readGoMod(root, dir)
		if err != nil {
			return "", nil, err
		}
		files[dir] = f
		for _, r := range f.Require {
			if !sibling(r.Mod.Path) {
				continue
			}
			if !slices.Contains(released, strings.TrimPrefix(r.Mod.Path, prefix)) {
				return "", nil, fmt.Errorf("%s requires %s, which is not released: move what it needs, or release it", dir, r.Mod.Path)
			}
			if version == "" {
				version = r.Mod.Version
			}
			if r.Mod.Version != version {
				return "", nil, fmt.Errorf("%s requires %s, others require their siblings at %s: all modules are released under one version", dir, r.Mod, version)
			}
		}
	}
	if version == "" {
		return "", nil, errors.New("no module requires a sibling, so the version to pack is not known: run go mod tidy in each module")
	}
	return version, files, nil
}

// readGoMod reads the go.mod in a folder.
func readGoMod(root, dir string) (*modfile.File, error) {
	path := filepath.Join(root, filepath.FromSlash(dir), "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := modfile.Parse(path, data, nil)
	if err != nil {
		return nil, err
	}
	if f.Module == nil || f.Module.Mod.Path != prefix+dir {
		return nil, fmt.Errorf("%s must say: module %s", path, prefix+dir)
	}
	return f, nil
}

// strip drops the replace lines, which exist for development: go install
// refuses a module that has any. A replace of somebody else's module cannot be
// dropped, for without it the release would be built from other code.
func strip(f *modfile.File) ([]byte, error) {
	for _, r := range slices.Clone(f.Replace) {
		if !sibling(r.Old.Path) {
			return nil, fmt.Errorf("go.mod replaces %s, which a release cannot: require the version that works", r.Old.Path)
		}
		if err := f.DropReplace(r.Old.Path, r.Old.Version); err != nil {
			return nil, err
		}
	}
	f.Cleanup()
	return f.Format()
}
