package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/streamhouse/streamhouse/services/agent/internal/bolt"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta/metatest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	metatest.Run(t, func(t *testing.T) meta.Store {
		t.Helper()
		return open(t, filepath.Join(t.TempDir(), "meta.db"))
	})
	metatest.RunDurable(t, func(t *testing.T, dir string) meta.Store {
		t.Helper()
		return open(t, filepath.Join(dir, "meta.db"))
	})
}

func open(tb testing.TB, path string) *bolt.Store {
	tb.Helper()
	s, err := bolt.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// wantRefusal fails unless opening path is refused with all of says.
func wantRefusal(t *testing.T, path string, says ...string) {
	t.Helper()
	_, err := bolt.Open(path)
	if err == nil {
		t.Fatal("open: got no error")
	}
	for _, want := range append(says, path) {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// edit changes a file behind the store's back.
func edit(t *testing.T, path string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	wantRefusal(t, path, "another process has it open", "stop that one first")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path).Close()
}

func TestOpenNewerFormat(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "meta.db")
	open(t, path).Close()
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("2"))
	})
	wantRefusal(t, path, "has format 2", "reads up to 1", "upgrade")
}

// A file of another program is refused before anything is written to it.
func TestOpenForeignFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign.db")
	edit(t, foreign, func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("theirs"))
		return err
	})
	before, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, foreign, "not a store of StreamHouse")
	after, err := os.ReadFile(foreign)
	if err != nil || string(after) != string(before) {
		t.Errorf("the refused file was changed, %v", err)
	}

	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte("no database at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, text)
	wantRefusal(t, filepath.Join(dir, "no", "such", "folder", "meta.db"))
}

// A kind that an older program did not know gets its bucket.
func TestOpenAddsKinds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "meta.db")
	open(t, path).Close()
	edit(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(meta.Counters)) })
	s := open(t, path)
	defer s.Close()
	if err := s.Create(t.Context(), &meta.Counter{Name: "n"}); err != nil {
		t.Fatal(err)
	}
}

// A process that was killed while it made the store leaves a file under the
// temporary name only, however much of it was written.
func TestOpenAfterACrashInOpen(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"empty": "", "torn": strings.Repeat("\x00", 5000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "meta.db")
			if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, path)
			defer s.Close()
			if err := s.Create(t.Context(), &meta.Counter{Name: "n"}); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the temporary file: %v, want it gone", err)
			}
		})
	}
}

// A row that cannot be read is an error, never a row with fields left empty;
// and it does not stop the writes of others that share its transaction.
func TestDamagedRow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	row := &meta.Topic{Name: "t", ID: 7}
	if err := s.Create(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bbolt.Tx) error {
		key, _ := tx.Bucket([]byte(meta.Topics)).Cursor().First()
		return tx.Bucket([]byte(meta.Topics)).Put(key, []byte(`{"version":1,"na`))
	})
	s = open(t, path)
	defer s.Close()
	for op, err := range map[string]error{
		"get":    s.Get(t.Context(), &meta.Topic{Name: "t"}),
		"swap":   s.Swap(t.Context(), row),
		"delete": s.Delete(t.Context(), row),
	} {
		if err == nil || !strings.Contains(err.Error(), "decode") {
			t.Errorf("%s of a damaged row: got %v, want an error that says so", op, err)
		}
	}
	if err := s.Create(t.Context(), &meta.Topic{Name: "u"}); err != nil {
		t.Errorf("create beside a damaged row: %v", err)
	}
}

func TestKeyTooLong(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "meta.db"))
	defer s.Close()
	err := s.Create(t.Context(), &meta.Topic{Name: strings.Repeat("x", 40_000)})
	if err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v, want a refusal that names the limit", err)
	}
	if err := s.Create(t.Context(), &meta.Topic{Name: strings.Repeat("x", 30_000)}); err != nil {
		t.Error(err)
	}
}

func TestWriteAfterClose(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "meta.db"))
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), &meta.Counter{Name: "n"}); err == nil {
		t.Error("create after close: got no error")
	}
	if err := s.Get(t.Context(), &meta.Counter{Name: "n"}); err == nil || errors.Is(err, meta.ErrNotFound) {
		t.Errorf("get after close: got %v, want an error that is not ErrNotFound", err)
	}
}
