// Package process runs the programs of this repository as real processes, for
// black-box tests: it builds them once for each test binary, starts agents,
// ends them in order or by SIGKILL, and starts them again on what they left.
//
// It only ever ends processes that it started itself.
package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// programs are the paths of the built programs.
type programs struct{ agent, cli string }

// built is where build put its folder, for Main to remove.
var built struct {
	sync.Mutex
	dir string
}

// Main runs the tests of a package that starts processes, and removes what was
// built for them. Call it from TestMain.
func Main(m *testing.M) {
	m.Run() // package testing keeps the exit code
	built.Lock()
	defer built.Unlock()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir) // nobody is left to tell
	}
}

// build builds the programs when the first test asks for them.
var build = sync.OnceValues(func() (programs, error) {
	root, err := repository()
	if err != nil {
		return programs{}, err
	}
	dir, err := os.MkdirTemp("", "streamhouse-programs-")
	if err != nil {
		return programs{}, fmt.Errorf("make folder for programs: %w", err)
	}
	built.Lock()
	built.dir = dir
	built.Unlock()
	p := programs{agent: filepath.Join(dir, "streamhouse-agent"), cli: filepath.Join(dir, "streamhouse")}
	err = errors.Join(
		goBuild(filepath.Join(root, "services", "agent"), "./cmd/streamhouse-agent", p.agent),
		goBuild(filepath.Join(root, "cmd", "streamhouse"), ".", p.cli),
		dependOn(root),
	)
	return p, err
})

// BuildRelease builds an agent as the release would be that reads and writes
// newer formats than this one, and returns its path.
func BuildRelease(t *testing.T, reads, writes int) string {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	const format = "github.com/streamhouse/streamhouse/services/agent/internal/format"
	output := filepath.Join(t.TempDir(), "streamhouse-agent")
	flags := fmt.Sprintf("-X %s.reads=%d -X %s.writes=%d", format, reads, format, writes)
	if err := goBuild(filepath.Join(root, "services", "agent"), "./cmd/streamhouse-agent", output, "-ldflags", flags); err != nil {
		t.Fatal(err)
	}
	return output
}

// goBuild builds a program in its own module, so that it also works without
// the workspace. A test under the race detector gets programs under it too:
// see Agent.
func goBuild(module, name, output string, flags ...string) error {
	args := append([]string{"build", "-o", output}, flags...)
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, name)...) //nolint:noctx // the test's own timeout is the deadline
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", filepath.Base(output), err, out)
	}
	return nil
}

// repository finds the folder that holds all modules.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no folder above this one holds go.work: run the tests inside the repository")
		}
		dir = parent
	}
}

// dependOn makes `go test` run these tests again after the programs' sources
// changed. It answers from its cache while all files are as they were that a
// test looked at inside of its own module; so this looks at all sources, by
// paths that begin with this module's folder, ".." and all.
func dependOn(root string) error {
	modules := os.DirFS(filepath.Join(root, "tests") + "/..")
	for _, module := range []string{"proto", "libs/producer", "services/agent", "cmd/streamhouse", "tests/standin"} {
		err := fs.WalkDir(modules, module, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") || entry.Name() == "go.mod" {
				_, err = fs.Stat(modules, name)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("look at the sources: %w", err)
		}
	}
	return nil
}
