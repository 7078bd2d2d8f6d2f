package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// lockTimeout is how long Open waits for another process to close the file:
// long enough for one that is just ending.
const lockTimeout = time.Second

// format is the version of the layout of the file.
const format = 1

var (
	metaBucket = []byte("meta")
	formatKey  = []byte("format")
)

// Open opens the store in the file path, and makes it if it is not there; the
// folder must be there. Two processes that make one file at the same moment
// are one too many: hold a lock on the folder.
func Open(path string) (*Store, error) {
	s, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open the metadata store %s: %w", path, err)
	}
	s.loop.Go(s.run)
	return s, nil
}

func open(path string) (*Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, err
		}
	}
	db, err := openFile(path)
	if err != nil {
		return nil, err
	}
	last, err := prepare(db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Store{db: db, synced: newSynced(last), writes: make(chan *write), quit: make(chan struct{})}, nil
}

// newest is the id of the last transaction that readers see.
func newest(db *bbolt.DB) (id int, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		id = tx.ID()
		return nil
	})
	return id, err
}

func openFile(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout,
		// Trimming frees many pages, and a commit should not write the list of
		// them all. Open finds them by reading the tree, which stays small, for
		// journals are trimmed.
		NoFreelistSync: true,
		// Finding a free page in a map takes as long among many as among few;
		// in the default, an array, it does not.
		FreelistType: bbolt.FreelistMapType,
		// Only address space. Growing beyond it maps the file anew, which
		// waits for all readers.
		InitialMmapSize: 1 << 28,
		NoStatistics:    true,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, errors.New("another process has it open: stop that one first, or give another folder")
	}
	return db, err
}

// create makes a store under a temporary name and links it to its place, so
// that a process that is killed meanwhile leaves no file that is half made.
func create(path string) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := openFile(temp)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(stamp), db.Close()); err != nil {
		return err
	}
	// Unlike a rename, a link never replaces what is there.
	if err := os.Link(temp, path); err != nil {
		return err
	}
	if err := os.Remove(temp); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func stamp(tx *bbolt.Tx) error {
	bucket, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	return bucket.Put(formatKey, strconv.AppendInt(nil, format, 10))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// prepare checks the format before it changes anything, then adds the buckets
// that a file of an earlier program lacks. It syncs first: the last commit of
// a process that was killed may be visible without being on the disk. It
// returns the id of the last transaction.
func prepare(db *bbolt.DB) (last int, err error) {
	if err := db.Sync(); err != nil {
		return 0, err
	}
	missing := false
	err = db.View(func(tx *bbolt.Tx) error {
		for _, kind := range meta.Kinds() {
			missing = missing || tx.Bucket([]byte(kind)) == nil
		}
		return checkFormat(tx)
	})
	if err == nil && missing {
		err = db.Update(addBuckets)
	}
	if err != nil {
		return 0, err
	}
	return newest(db)
}

func addBuckets(tx *bbolt.Tx) error {
	for _, kind := range meta.Kinds() {
		if _, err := tx.CreateBucketIfNotExists([]byte(kind)); err != nil {
			return err
		}
	}
	return nil
}

func checkFormat(tx *bbolt.Tx) error {
	bucket := tx.Bucket(metaBucket)
	if bucket == nil {
		return fmt.Errorf("it is a bbolt file without a bucket %q: not a store of StreamHouse, give another folder", metaBucket)
	}
	text := bucket.Get(formatKey)
	found, err := strconv.Atoi(string(text))
	switch {
	case err != nil || found < 1:
		return fmt.Errorf("its format is %.20q, not a version number: not a store of StreamHouse, give another folder", text)
	case found > format:
		return fmt.Errorf("it has format %d, and this version of StreamHouse reads up to %d: upgrade StreamHouse, or give another folder", found, format)
	}
	return nil
}
