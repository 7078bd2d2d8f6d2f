package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// Two processes that both believed to own a store was one of the predecessor's
// holes (11). The second must not start, and must not harm the first.
func TestTwoAgentsOnOneFolder(t *testing.T) {
	t.Parallel()
	first := process.StartAgent(t, noCeiling)
	s := &sender{stream: openStream(t, first.Client()), topic: first.CreateTopic("t", 1)}
	s.appended(0, encode(batch.None, 1, 0, "a"), 0)
	second := process.NewAgent(t, first.Dir)
	requireNoStart(t, second, 1, first.Dir, fmt.Sprintf("in use by process %d", first.PID()))
	s.appended(0, encode(batch.None, 1, 1, "b"), 1)
	first.Kill()
	second.Start() // the lock ended with its holder
	requireValues(t, second, "t", 0, "a", "b")
	requireNoStart(t, first, 1, first.Dir, fmt.Sprintf("in use by process %d", second.PID()))
}

// A store that a newer program wrote is refused, and left as it is.
func TestNewerStoreIsRefused(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t)
	a.CreateTopic("t", 1)
	if code := a.Terminate(); code != 0 {
		t.Fatalf("exit code %d, want 0", code)
	}
	format := filepath.Join(a.Dir, "objects", "FORMAT")
	was, err := os.ReadFile(format)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(format, []byte("999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	requireNoStart(t, a, 1, "format 999", "upgrade")
	if now, err := os.ReadFile(format); err != nil || string(now) != "999\n" {
		t.Errorf("FORMAT is now %q, %v", now, err)
	}
	if err := os.WriteFile(format, was, 0o600); err != nil {
		t.Fatal(err)
	}
	a.Start()
	requireValues(t, a, "t", 0)
}

// Somebody else's folder is no store, and stays as it is.
func TestForeignFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	objects := filepath.Join(dir, "objects")
	if err := os.MkdirAll(filepath.Join(objects, "tmp"), 0o750); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(objects, "tmp", "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	requireNoStart(t, process.NewAgent(t, dir), 1, objects, "FORMAT")
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("what was in the folder: %v", err)
	}
}
