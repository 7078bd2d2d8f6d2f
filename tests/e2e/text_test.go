package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// textLines is how many lines of real text go through the log.
const textLines = 1_200_000

// realText writes the first lines of Go's own sources, in the order of their
// paths, to a file, and returns its name and checksum. It is a text with
// everything that text has: tabs, empty lines, long lines, many scripts, bytes
// that are not UTF-8; and every machine that can run this test has it.
func realText(t *testing.T) (name string, sum [sha256.Size]byte) {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("ask for GOROOT: %v", err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "text"))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	w := bufio.NewWriter(io.MultiWriter(out, hash))
	lines := 0
	err = filepath.WalkDir(filepath.Join(strings.TrimSpace(string(root)), "src"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(b) {
			if lines == textLines {
				return fs.SkipAll
			}
			if !bytes.HasSuffix(line, []byte("\n")) { // the last of its file
				line = append(line, '\n')
			}
			if _, err := w.Write(line); err != nil {
				return err
			}
			lines++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if lines < textLines {
		t.Fatalf("Go's sources have %d lines, want %d", lines, textLines)
	}
	return out.Name(), [sha256.Size]byte(hash.Sum(nil))
}

// TestRealText puts a real text of more than a million lines through the
// command line tool and back, over agents that were restarted in between, one
// in order and one by SIGKILL.
func TestRealText(t *testing.T) {
	a := process.StartAgent(t, noCeiling)
	a.CreateTopic("one", 1)
	a.CreateTopic("many", 8)
	text, sum := realText(t)
	produced := fmt.Sprintf(`"records": %d`, textLines)
	for _, topic := range []string{"one", "many"} {
		if said := a.Succeed("produce", topic, "--file", text, "--output", "json"); !strings.Contains(said, produced) {
			t.Fatalf("produce says %s, want %s", said, produced)
		}
	}
	a.Kill()
	a.Start()
	t.Run("one partition", func(t *testing.T) {
		hash := sha256.New()
		args := []string{"consume", "one", "--format", "raw"}
		a.Run(process.Command{Args: args, Stdout: hash}).Succeeded(t, args...)
		if got := [sha256.Size]byte(hash.Sum(nil)); got != sum {
			t.Errorf("SHA-256 of what was read is %x, want %x", got, sum)
		}
	})
	if code := a.Terminate(); code != 0 {
		t.Fatalf("exit code %d, want 0", code)
	}
	a.Start()
	t.Run("eight partitions", func(t *testing.T) { checkPartitions(t, a, text) })
}

// checkPartitions reads the partitions of topic many one by one. Each must hold
// lines of the text in the text's order, and all together every line as often
// as the text has it.
func checkPartitions(t *testing.T, a *process.Agent, text string) {
	t.Helper()
	want, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	whole := countLines(want)
	for p := range 8 {
		var got bytes.Buffer
		args := []string{"consume", "many", "--format", "raw", "--partition", fmt.Sprint(p)}
		a.Run(process.Command{Args: args, Stdout: &got}).Succeeded(t, args...)
		if got.Len() == 0 {
			t.Errorf("partition %d is empty: lines without a key must spread", p)
		}
		if line, ok := inOrder(got.Bytes(), want); !ok {
			t.Errorf("partition %d: line %d is not in the text after the line before it", p, line)
		}
		for line, n := range countLines(got.Bytes()) {
			whole[line] -= n
		}
	}
	for line, n := range whole {
		if n != 0 {
			t.Errorf("of a line of the text (hash %x) %d copies too few were read", line, n)
			break
		}
	}
}

var lineSeed = maphash.MakeSeed()

// countLines counts equal lines, by their hash.
func countLines(text []byte) map[uint64]int {
	counts := map[uint64]int{}
	for line := range bytes.Lines(text) {
		counts[maphash.Bytes(lineSeed, line)]++
	}
	return counts
}

// inOrder tells whether the lines of part are lines of whole, in its order,
// and else the first that is not.
func inOrder(part, whole []byte) (line int, ok bool) {
	for want := range bytes.Lines(part) {
		for {
			if len(whole) == 0 {
				return line, false
			}
			end := bytes.IndexByte(whole, '\n') + 1
			next := whole[:end]
			whole = whole[end:]
			if bytes.Equal(next, want) {
				break
			}
		}
		line++
	}
	return line, true
}
