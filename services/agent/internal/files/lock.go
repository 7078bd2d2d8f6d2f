package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned by Lock when the folder is locked already.
var ErrLocked = errors.New("folder is in use")

// Lock takes a folder for this process alone, and makes it if it is not there.
// It does not wait: when another process, or an earlier Lock of this one,
// holds the folder, it returns ErrLocked with the folder and, if known, the
// holder's process id. The lock ends with release or with the process, however
// that ends; the file LOCK stays.
func Lock(dir string) (release func() error, err error) {
	if err := makeFolders(dir); err != nil {
		return nil, fmt.Errorf("lock the folder %s: %w", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the folder %s: %w", dir, err)
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the folder %s: %w", dir, err), f.Close())
	}
	if err := writePID(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the folder %s: %w", dir, err), f.Close())
	}
	return f.Close, nil // which unlocks
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("%w by %s: stop it first, or give another folder", ErrLocked, holder(f))
		default:
			return err
		}
	}
}

// holder names who has the lock. The file is empty for a moment after the lock
// was taken.
func holder(f *os.File) string {
	text := make([]byte, 20)
	n, _ := f.ReadAt(text, 0) // io.EOF, or nothing that can be told
	pid := strings.TrimSpace(string(text[:n]))
	switch pid {
	case "":
		return "another process"
	case fmt.Sprint(os.Getpid()):
		return "this process itself (" + pid + ")"
	default:
		return "process " + pid
	}
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return err
}
