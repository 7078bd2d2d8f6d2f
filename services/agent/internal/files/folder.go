package files

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// makeLasting makes a folder, and those around it, so that they survive a
// crash. One that is there already counts only when this process has synced
// the folder around it: the process that made it may have been killed, or may
// be another Put, that has not come so far yet.
func (s *Store) makeLasting(folder string) error {
	if folder == objectFolder || s.isLasting(folder) {
		return nil
	}
	around := path.Dir(folder)
	if err := s.makeLasting(around); err != nil {
		return err
	}
	if err := s.root.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.sync(around); err != nil {
		return err
	}
	s.setLasting(folder)
	return nil
}

func (s *Store) isLasting(folder string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.mu.lasting[folder]
	return ok
}

func (s *Store) setLasting(folder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.lasting) >= maxLasting {
		clear(s.mu.lasting)
	}
	s.mu.lasting[folder] = struct{}{}
}

// sync makes the names in a folder durable.
func (s *Store) sync(folder string) error {
	f, err := s.root.Open(folder)
	if err != nil {
		return err
	}
	return syncAndClose(f)
}

func syncAndClose(f *os.File) error {
	return errors.Join(f.Sync(), f.Close())
}

// makeFolders makes the folder dir and those around it that are missing, so
// that they survive a crash.
func makeFolders(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err // what is no folder is refused when it is opened
	}
	around := filepath.Dir(dir)
	if err := makeFolders(around); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(around)
	if err != nil {
		return err
	}
	return syncAndClose(f)
}
