package bolt_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/bolt"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// victimFile tells this test's own program, started again, to be the process
// that is killed.
const victimFile = "BOLT_TEST_VICTIM_FILE"

const sessions = 4

func TestMain(m *testing.M) {
	if path := os.Getenv(victimFile); path != "" {
		if err := victim(path); err != nil {
			fmt.Fprintln(os.Stdout, err)
		}
		return
	}
	m.Run()
}

// victim appends to several journals until it is killed, and prints each row
// once it was acknowledged.
func victim(path string) error {
	s, err := bolt.Open(path)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() {
			if err := appendRows(s, fmt.Sprint("session", i)); err != nil {
				fmt.Fprintln(os.Stdout, err)
			}
		})
	}
	wg.Wait()
	return nil
}

func appendRows(s *bolt.Store, session string) error {
	seq := uint64(0)
	for _, err := range s.Query(context.Background(), meta.Journal, session, 0) {
		if err != nil {
			return err
		}
		seq++
	}
	for ; ; seq++ {
		row := &meta.Entry{Session: session, Seq: seq, Segments: []meta.Segment{{Commits: make([]byte, seq%3000)}}}
		if err := s.Create(context.Background(), row); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, "created", session, seq)
	}
}

// A process that is killed at any moment, also while it makes the file, leaves
// one that opens and holds every row that it acknowledged, without gaps.
func TestKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "meta.db")
	acknowledged := map[string]uint64{}
	for round := range 6 {
		runVictim(t, path, round*20, acknowledged)
		s := open(t, path)
		for session, last := range acknowledged {
			next := uint64(0)
			for row, err := range meta.Query[*meta.Entry](t.Context(), s, session, 0) {
				if err != nil || row.Seq != next || len(row.Segments) != 1 || uint64(len(row.Segments[0].Commits)) != next%3000 {
					t.Fatalf("row %d of %s: %+v, %v", next, session, row, err)
				}
				next++
			}
			if next <= last {
				t.Errorf("%s ends at row %d, and row %d was acknowledged", session, next, last)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// runVictim kills a victim after it acknowledged so many rows, and notes the
// last one of each session.
func runVictim(t *testing.T, path string, rows int, acknowledged map[string]uint64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimFile+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if rows == 0 { // as early as can be
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		var session string
		var seq uint64
		if _, err := fmt.Sscanf(lines.Text(), "created %s %d", &session, &seq); err != nil {
			t.Fatalf("the victim said %q", lines.Text())
		}
		acknowledged[session] = seq
		if n == rows {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // "signal: killed"
}
