package files_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/files"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
)

// victimFolder tells this test's own program, started again, to be the process
// that is killed.
const victimFolder = "FILES_TEST_VICTIM_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimFolder); dir != "" {
		fmt.Fprintln(os.Stdout, victim(dir))
		return
	}
	m.Run()
}

// victim puts objects until it is killed, and prints each key once its Put
// has returned.
func victim(dir string) error {
	if _, err := files.Lock(dir); err != nil {
		return err
	}
	s, err := files.Open(dir)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "ready")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				key := fmt.Sprintf("%02x/%x", rand.IntN(20), rand.Uint64())
				if err := s.Put(context.Background(), key, objstoretest.Body(contentOf(key))); err != nil {
					fmt.Fprintln(os.Stdout, err)
					return
				}
				fmt.Fprintln(os.Stdout, "put", key)
			}
		})
	}
	wg.Wait()
	return errors.New("all writers ended")
}

// contentOf derives an object from its key, so that whoever finds it later can
// tell whether it is whole.
func contentOf(key string) []byte {
	h := fnv.New64a()
	_, _ = io.WriteString(h, key)
	r := rand.New(rand.NewPCG(h.Sum64(), 0))
	b := make([]byte, r.IntN(400_000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// startVictim returns a running victim and its output behind "ready".
func startVictim(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimFolder+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the victim said %q, want ready", lines.Text())
	}
	return cmd, lines
}

// kill ends a victim as the kernel's out-of-memory killer would.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// A process that is killed at any moment has put whole objects only, loses
// none that it acknowledged, and leaves a folder that can be locked and opened.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for round := range 5 {
		cmd, lines := startVictim(t, dir)
		for n := 0; lines.Scan(); n++ {
			key, ok := strings.CutPrefix(lines.Text(), "put ")
			if !ok {
				t.Fatalf("the victim said %q", lines.Text())
			}
			acknowledged[key] = true
			if n == 7*round {
				kill(t, cmd)
			}
		}
		_ = cmd.Wait() // "signal: killed"
		verify(t, dir, acknowledged)
	}
}

func verify(t *testing.T, dir string, acknowledged map[string]bool) {
	t.Helper()
	release, err := files.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = release() }()
	s := open(t, dir)
	defer s.Close()
	there := map[string]bool{}
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		there[info.Key] = true
		got, err := s.Get(t.Context(), info.Key, 0, -1)
		if err != nil || string(got) != string(contentOf(info.Key)) {
			t.Errorf("object %s is not whole: %d bytes, %v", info.Key, len(got), err)
		}
	}
	for key := range acknowledged {
		if !there[key] {
			t.Errorf("object %s was acknowledged and is gone", key)
		}
	}
	if left := names(t, filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

// Two agents on one folder would each take the other's session for dead.
func TestLockAgainstAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, lines := startVictim(t, dir)
	_, err := files.Lock(dir)
	wantLocked(t, err, dir, strconv.Itoa(cmd.Process.Pid))
	kill(t, cmd)
	for lines.Scan() { // to its end: an unread pipe would block Wait
	}
	_ = cmd.Wait() // "signal: killed"
	release, err := files.Lock(dir)
	if err != nil {
		t.Fatalf("lock after the holder was killed: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

func TestLockAgainstOneself(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	for range 2 {
		release, err := files.Lock(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = files.Lock(dir)
		wantLocked(t, err, dir, "this process itself", strconv.Itoa(os.Getpid()))
		if err := release(); err != nil {
			t.Fatal(err)
		}
	}
}

// The holder's process id is not there yet for a moment.
func TestLockByAnUnknownProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	release, err := files.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = release() }()
	write(t, "", dir, "LOCK")
	_, err = files.Lock(dir)
	wantLocked(t, err, dir, "another process")
}

func wantLocked(t *testing.T, err error, says ...string) {
	t.Helper()
	if !errors.Is(err, files.ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
