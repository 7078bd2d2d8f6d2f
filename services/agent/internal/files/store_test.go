package files_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/files"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		t.Helper()
		return open(t, t.TempDir())
	})
	objstoretest.RunDurable(t, func(t *testing.T, dir string) objstore.Store {
		t.Helper()
		return open(t, dir)
	})
}

func open(t *testing.T, dir string) *files.Store {
	t.Helper()
	s, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *files.Store, key, content string) {
	t.Helper()
	if err := s.Put(t.Context(), key, objstoretest.Body([]byte(content))); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, content string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// The store may be the first to need the folder.
func TestOpenMakesFolders(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	s := open(t, dir)
	defer s.Close()
	if got, want := names(t, dir), []string{"FORMAT", "objects", "tmp"}; !slices.Equal(got, want) {
		t.Errorf("a new store holds %v, want %v", got, want)
	}
	text, err := os.ReadFile(filepath.Join(dir, "FORMAT"))
	if err != nil || string(text) != "1\n" {
		t.Errorf("FORMAT holds %q, %v, want version 1", text, err)
	}
}

// Whatever a crash leaves behind is not an object, and is gone after Open:
// an empty file, half a body, a whole body that was not linked to its place
// yet, and one that was linked but not removed yet.
func TestOpenRemovesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "a/acknowledged", "content")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, "", dir, "tmp", "empty")
	write(t, "cont", dir, "tmp", "half")
	write(t, "content", dir, "tmp", "whole")
	write(t, "content", dir, "tmp", "linked")
	if err := os.Link(filepath.Join(dir, "tmp", "linked"), filepath.Join(dir, "objects", "a", "linked.obj")); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	defer s.Close()
	var keys []string
	for info, err := range s.List(t.Context(), "") {
		if err != nil || info.Size != 7 {
			t.Fatalf("got %+v, %v", info, err)
		}
		keys = append(keys, info.Key)
	}
	slices.Sort(keys)
	if want := []string{"a/acknowledged", "a/linked"}; !slices.Equal(keys, want) {
		t.Errorf("after the crash there are %v, want %v", keys, want)
	}
	if left := names(t, filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

// A Put that is refused leaves no temporary file: under a retry loop they
// would fill the disk.
func TestPutLeavesNoTemps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	put(t, s, "k", "first")
	if err := s.Put(t.Context(), "k", objstoretest.Body([]byte("second"))); !errors.Is(err, objstore.ErrExists) {
		t.Fatalf("got %v, want ErrExists", err)
	}
	wrong := objstoretest.Body([]byte("content"))
	wrong.CRC32C++
	if err := s.Put(t.Context(), "other", wrong); err == nil {
		t.Fatal("a wrong checksum was taken")
	}
	if left := names(t, filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

// A crash while FORMAT is written leaves a folder that can still be opened.
func TestOpenAfterACrashInOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, "", dir, "FORMAT.new")
	open(t, dir).Close()
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	defer s.Close()
	put(t, s, "k", "x")
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    []string
	}{
		"a newer format": {
			func(t *testing.T, dir string) { t.Helper(); write(t, "2\n", dir, "FORMAT") },
			[]string{"has format 2", "reads up to 1", "upgrade"},
		},
		"a FORMAT of another program": {
			func(t *testing.T, dir string) { t.Helper(); write(t, "ext4, lz4", dir, "FORMAT") },
			[]string{"ext4, lz4", "no folder of StreamHouse"},
		},
		"a folder of somebody else, whose tmp we would empty": {
			func(t *testing.T, dir string) {
				t.Helper()
				if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, "thesis", dir, "tmp", "draft")
			},
			[]string{"no file FORMAT", "give an empty one"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c.prepare(t, dir)
			before := names(t, dir)
			_, err := files.Open(dir)
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range append(c.want, dir) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if after := names(t, dir); !slices.Equal(after, before) {
				t.Errorf("the refused folder held %v and holds %v", before, after)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, "x", file)
	if _, err := files.Open(file); err == nil {
		t.Error("open of a file: got no error")
	}
}

// No key may reach what is outside the folder, or what the store keeps there
// for itself; each refusal says why.
func TestBadKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store"))
	defer s.Close()
	write(t, "secret", dir, "secret.obj")
	for _, key := range []string{
		"", ".", "..", "/", "/a", "a/", "a//b", "./a", "a/.", "a/..", "../secret", "a/../../secret",
		".hidden", "a/.b", "a\\b", "a\x00b", "a b", "a\nb", "é", "a.obj/b", strings.Repeat("x", 252),
	} {
		for op, err := range map[string]error{
			"put":    s.Put(t.Context(), key, objstoretest.Body([]byte("x"))),
			"get":    second(s.Get(t.Context(), key, 0, -1)),
			"delete": s.Delete(t.Context(), key),
		} {
			if err == nil || !strings.Contains(err.Error(), "invalid key") {
				t.Errorf("%s %q: got %v, want a refusal of the key", op, key, err)
			}
		}
	}
	for _, prefix := range []string{"/", "../", "a/../", "a//", "../secret"} {
		for info, err := range s.List(t.Context(), prefix) {
			if err == nil || !strings.Contains(err.Error(), "invalid key") {
				t.Errorf("list %q: got %+v, %v, want a refusal", prefix, info, err)
			}
		}
	}
	if got := names(t, dir); !slices.Equal(got, []string{"secret.obj", "store"}) {
		t.Errorf("around the store there is %v", got)
	}
	for _, key := range []string{"FORMAT", "tmp", "objects/x", strings.Repeat("x", 251), "a.obj", "a..b", "~$%+,:;=@!'()"} {
		put(t, s, key, key)
		got, err := s.Get(t.Context(), key, 0, -1)
		if err != nil || string(got) != key {
			t.Errorf("get %q: %q, %v", key, got, err)
		}
	}
}

func second(_ []byte, err error) error { return err }

// A link that somebody put into the folder does not lead out of it.
func TestLinksDoNotLeadOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store"))
	defer s.Close()
	outside := filepath.Join(dir, "outside")
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "store", "objects", "a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a/k", objstoretest.Body([]byte("x"))); err == nil {
		t.Error("put through a link that leads out: got no error")
	}
	if left := names(t, outside); len(left) > 0 {
		t.Errorf("outside there is %v", left)
	}
}
