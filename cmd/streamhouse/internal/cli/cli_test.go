package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/local"
	"github.com/streamhouse/streamhouse/services/agent"
)

// asProgram makes the test binary play the streamhouse program, for commands
// that start it again.
const asProgram = "STREAMHOUSE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		m.Run()
		return
	}
	code := Run(context.Background(), os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	os.Exit(code) //nolint:forbidigo // this process plays the program
}

// result is what a command left behind.
type result struct {
	code     int
	out, err string
}

func runWith(ctx context.Context, in io.Reader, args ...string) result {
	var out, messages bytes.Buffer
	code := Run(ctx, args, Streams{In: in, Out: &out, Err: &messages})
	return result{code, out.String(), messages.String()}
}

// shell runs commands against one agent.
type shell struct {
	t      *testing.T
	server string
}

// startShell starts an agent over real files and TCP.
func startShell(t *testing.T) *shell {
	t.Helper()
	a, err := local.Start(t.Context(), agent.StoreConfig{Kind: agent.StoreFiles, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &shell{t: t, server: a.Addr}
}

// try runs a command whatever comes out of it.
func (s *shell) try(in string, args ...string) result {
	return runWith(s.t.Context(), strings.NewReader(in), append(args, "--server", s.server)...)
}

// run runs a command that must succeed and returns what it printed.
func (s *shell) run(in string, args ...string) string {
	s.t.Helper()
	r := s.try(in, args...)
	if r.code != exitOK {
		s.t.Fatalf("%v: exit code %d: %s", args, r.code, r.err)
	}
	return r.out
}

// same compares texts without printing megabytes.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Errorf("%s: %d bytes, want %d, and they differ from byte %d on:\n%.200q\n%.200q", what, len(got), len(want), at, got[at:], want[at:])
}
