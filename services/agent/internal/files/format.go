package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// format is the version of the layout of the folder.
const format = 1

// checkFormat refuses a folder that a newer version wrote or that is none of
// ours, and stamps one that is new.
func (s *Store) checkFormat() error {
	text, err := s.root.ReadFile(formatFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s.stamp()
	}
	if err != nil {
		return err
	}
	found, err := strconv.Atoi(strings.TrimSpace(string(text)))
	switch {
	case err != nil || found < 1:
		return fmt.Errorf("its file %s holds %.20q, not a version number: this is no folder of StreamHouse, give another one", formatFile, text)
	case found > format:
		return fmt.Errorf("it has format %d, and this version of StreamHouse reads up to %d: upgrade StreamHouse, or give another folder", found, format)
	}
	return nil
}

// stamp writes FORMAT. It is renamed to its place, so that a crash cannot
// leave it empty.
func (s *Store) stamp() error {
	for _, name := range []string{objectFolder, tempFolder} {
		_, err := s.root.Lstat(name)
		if err == nil {
			return fmt.Errorf("it holds %q but no file %s: this is no folder of StreamHouse, give an empty one", name, formatFile)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	const temp = formatFile + ".new"
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, format)
	if err := errors.Join(err, syncAndClose(f)); err != nil {
		return err
	}
	if err := s.root.Rename(temp, formatFile); err != nil {
		return err
	}
	return s.sync(".")
}
