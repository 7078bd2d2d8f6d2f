package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	content, err := s.read(key, offset, length)
	if errors.Is(err, fs.ErrNotExist) {
		err = objstore.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("get %q, %d bytes from %d: %w", key, length, offset, err)
	}
	return content, nil
}

func (s *Store) read(key string, offset, length int64) ([]byte, error) {
	place, err := placeOf(key)
	if err != nil {
		return nil, err
	}
	f, err := s.root.Open(place)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if length == -1 {
		length = info.Size() - offset
	}
	// The bounds come before the allocation: they are the caller's.
	if offset < 0 || length < 0 || length > info.Size()-offset {
		return nil, fmt.Errorf("the object has %d bytes: %w", info.Size(), objstore.ErrRange)
	}
	content := make([]byte, length)
	_, err = io.ReadFull(io.NewSectionReader(f, offset, length), content)
	return content, err
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		folder, _, err := split(prefix)
		if err = errors.Join(err, ctx.Err()); err == nil {
			err = s.walk(ctx, folder, prefix, func(i objstore.Info) bool { return yield(i, nil) })
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(objstore.Info{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

// errStop tells that the reader of a list has seen enough.
var errStop = errors.New("stop")

// walk finds the objects below folder, in terms of keys, that begin with
// prefix.
func (s *Store) walk(ctx context.Context, folder, prefix string, found func(objstore.Info) bool) error {
	return s.entries(path.Join(objectFolder, folder), func(e fs.DirEntry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := path.Join(folder, e.Name())
		if e.IsDir() {
			if !strings.HasPrefix(key+"/", prefix) {
				return nil
			}
			return s.walk(ctx, key, prefix, found)
		}
		key, isObject := strings.CutSuffix(key, objectSuffix)
		if !isObject || !strings.HasPrefix(key, prefix) {
			return nil
		}
		info, err := s.root.Lstat(path.Join(objectFolder, folder, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted since the folder was read
		}
		if err != nil {
			return err
		}
		if !found(objstore.Info{Key: key, Size: info.Size()}) {
			return errStop
		}
		return nil
	})
}

// entries calls visit for each entry of a folder, which may be missing. It
// reads the folder in pieces: it may have a million entries.
func (s *Store) entries(folder string, visit func(fs.DirEntry) error) error {
	f, err := s.root.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(1024)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := visit(e); err != nil {
				return err
			}
		}
	}
}
