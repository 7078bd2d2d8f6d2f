package bolt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// breakDisk puts /dev/null in the place of an open file: writes vanish, and a
// sync fails. mend puts the file back.
func breakDisk(t *testing.T, path string) (mend func()) {
	t.Helper()
	file := descriptor(t, path)
	saved, err := unix.Dup(file) // also keeps the lock
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := unix.Dup3(int(null.Fd()), file, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Dup3(saved, file, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		unix.Close(saved)
	}
}

func descriptor(t *testing.T, path string) int {
	t.Helper()
	for fd := range 1000 {
		if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && to == path {
			return fd
		}
	}
	t.Fatalf("no descriptor of %s", path)
	return 0
}

// A commit that fails is answered as failed and leaves no trace; when the disk
// is well again, so is the store, and what it acknowledged is there.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	before := &meta.Counter{Name: "before", Last: 1}
	if err := s.Create(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	mend := breakDisk(t, path)
	for range 3 {
		if err := s.Create(t.Context(), &meta.Counter{Name: "lost"}); err == nil {
			t.Error("create on a broken disk: got no error")
		}
		before.Last = 2
		if err := s.Swap(t.Context(), before); err == nil || before.Version != 1 {
			t.Errorf("swap on a broken disk: %v, version %d", err, before.Version)
		}
	}
	mend()
	if err := s.Create(t.Context(), &meta.Counter{Name: "after"}); err != nil {
		t.Fatalf("create on the mended disk: %v", err)
	}
	for range 2 { // in this run, and in the next
		got := map[string]uint64{}
		for row, err := range meta.Scan[*meta.Counter](t.Context(), s) {
			if err != nil {
				t.Fatal(err)
			}
			got[row.Name] = row.Last
		}
		if len(got) != 2 || got["before"] != 1 {
			t.Errorf("there is %v, want before 1 and after 0", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path)
	}
	s.Close()
}
