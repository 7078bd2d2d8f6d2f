// Package files keeps objects as files in a folder: the object store of the
// demo and of an installation on a single machine. It runs on Unix systems.
//
// An object is written to a temporary file, synced, linked to its place, and
// the folder that holds it is synced: whatever stops the process or the
// machine in between, an object is there whole or not at all.
package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// What stands in the folder.
const (
	formatFile   = "FORMAT"
	lockFile     = "LOCK"
	objectFolder = "objects"
	tempFolder   = "tmp"
)

// Store is an objstore.Store. It is safe for concurrent use, by one process:
// hold Lock on the folder, or on one around it, while it is open.
type Store struct {
	root *os.Root
	mu   struct {
		sync.Mutex
		// lasting has the folders that are known to survive a crash.
		lasting map[string]struct{}
	}
}

// maxLasting bounds the memory for known folders. One that was forgotten
// costs a few more syncs at its next Put.
const maxLasting = 1 << 14

// Open opens the store in the folder dir, and makes both if they are not
// there. It removes what a crash left half-written.
func Open(dir string) (*Store, error) {
	s, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the object store in %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string) (*Store, error) {
	if err := makeFolders(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{root: root}
	s.mu.lasting = map[string]struct{}{}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

// prepare stamps a new folder before it makes anything else in it: without
// FORMAT, a folder called tmp is somebody else's, and is not emptied.
func (s *Store) prepare() error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	for _, name := range []string{objectFolder, tempFolder} {
		if err := s.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := s.sync("."); err != nil {
		return err
	}
	return errors.Join(s.removeTemps(), s.tryLink())
}

// removeTemps removes what Puts of a process that was killed have left.
func (s *Store) removeTemps() error {
	return s.entries(tempFolder, func(e fs.DirEntry) error {
		return s.root.Remove(path.Join(tempFolder, e.Name()))
	})
}

// tryLink finds out at start, not at the first Put, that a file system has no
// links.
func (s *Store) tryLink() error {
	probe := path.Join(tempFolder, "probe")
	if err := s.root.Link(formatFile, probe); err != nil {
		return fmt.Errorf("its file system cannot link files, give a folder on another one: %w", err)
	}
	return s.root.Remove(probe)
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, body objstore.Body) error {
	if err := s.put(ctx, key, body); err != nil {
		return fmt.Errorf("put %q: %w", key, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, key string, body objstore.Body) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	place, err := placeOf(key)
	if err != nil {
		return err
	}
	temp, err := s.writeTemp(body)
	if err != nil {
		return err
	}
	// Whether or not it was linked to its place: that this fails costs only
	// room, until the next Open.
	defer s.root.Remove(temp) //nolint:errcheck // as said
	if err := s.makeLasting(path.Dir(place)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// Unlike a rename, a link never replaces what is there.
	if err := s.root.Link(temp, place); errors.Is(err, fs.ErrExist) {
		return objstore.ErrExists
	} else if err != nil {
		return err
	}
	return s.sync(path.Dir(place))
}

// Delete implements objstore.Store. It leaves the folder, which the next
// object under the same prefix needs, and does not sync it.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := s.deleteOne(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) deleteOne(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	place, err := placeOf(key)
	if err == nil {
		err = s.root.Remove(place)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

// Close implements objstore.Store.
func (s *Store) Close() error { return s.root.Close() }
