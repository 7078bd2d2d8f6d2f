package process

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

// commandTimeout is far above what any command of a test needs.
const commandTimeout = 2 * time.Minute

// Command is a run of the command line tool against an agent.
type Command struct {
	// Args are without the program's name.
	Args []string
	// Stdin is empty when nil.
	Stdin io.Reader
	// Stdout takes the results; when nil, Result.Stdout does.
	Stdout io.Writer
}

// Result is how a command ended.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs a command and waits for its end, whatever it is.
func (a *Agent) Run(c Command) Result {
	a.t.Helper()
	programs, err := build()
	if err != nil {
		a.t.Fatal(err)
	}
	var stdout bytes.Buffer
	if c.Stdout == nil {
		c.Stdout = &stdout
	}
	p, err := start(programs.cli, c.Args, []string{"STREAMHOUSE_SERVER=" + a.Addr}, c.Stdin, c.Stdout)
	if err != nil {
		a.t.Fatal(err)
	}
	defer p.kill()
	state := p.wait(a.t, commandTimeout)
	return Result{Code: state.ExitCode(), Stdout: stdout.String(), Stderr: p.stderr.String()}
}

// Succeed runs a command, requires exit code 0, and returns its standard
// output.
func (a *Agent) Succeed(args ...string) string {
	a.t.Helper()
	return a.Run(Command{Args: args}).Succeeded(a.t, args...)
}

// Succeeded requires exit code 0 and returns the standard output.
func (r Result) Succeeded(t *testing.T, args ...string) string {
	t.Helper()
	if r.Code != 0 {
		t.Fatalf("streamhouse %s: exit code %d: %s", strings.Join(args, " "), r.Code, r.Stderr)
	}
	return r.Stdout
}

// Verify reads the store of an agent that ended from end to end, and requires
// that it is as the protocol has it.
func (a *Agent) Verify() {
	a.t.Helper()
	a.Succeed("verify", "--store-dir", a.Dir)
}
