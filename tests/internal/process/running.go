package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// running is one process.
type running struct {
	cmd    *exec.Cmd
	stderr *output
	ended  chan struct{} // closed when the process is gone
	waiter sync.WaitGroup
}

// start starts a program. Its environment is the test's without the settings
// of agents and of the command line tool, and with extra.
func start(program string, args, extra []string, stdin io.Reader, stdout io.Writer) (*running, error) {
	p := &running{stderr: &output{}, ended: make(chan struct{})}
	p.cmd = exec.Command(program, args...) //nolint:noctx // the test ends it by its id
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, p.stderr
	p.cmd.Env = append(environment(), extra...)
	p.cmd.SysProcAttr = endWithTest()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p.waiter.Go(func() {
		_ = p.cmd.Wait() // ProcessState tells all
		close(p.ended)
	})
	return p, nil
}

func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "STREAMHOUSE_") })
}

// wait waits for the process's end.
func (p *running) wait(t *testing.T, limit time.Duration) *os.ProcessState {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		t.Fatalf("process %d still runs after %v\n%s", p.cmd.Process.Pid, limit, p.stderr)
	}
	if strings.Contains(p.stderr.String(), "WARNING: DATA RACE") {
		t.Errorf("process %d has a data race:\n%s", p.cmd.Process.Pid, p.stderr)
	}
	return p.cmd.ProcessState
}

// kill ends the process whatever state it is in.
func (p *running) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	p.waiter.Wait()
}

// alive tells whether the process has not ended yet.
func (p *running) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// await waits until the process has written text to its standard error.
func (p *running) await(t *testing.T, text string, limit time.Duration) {
	t.Helper()
	timeout := time.After(limit)
	for {
		found, next := p.stderr.find(text)
		if found {
			return
		}
		select {
		case <-next:
		case <-p.ended:
			if found, _ := p.stderr.find(text); !found {
				t.Fatalf("process %d ended without writing %q\n%s", p.cmd.Process.Pid, text, p.stderr)
			}
			return
		case <-timeout:
			t.Fatalf("process %d has not written %q in %v\n%s", p.cmd.Process.Pid, text, limit, p.stderr)
		}
	}
}

// signalled tells which signal ended a process; 0 when it exited.
func signalled(s *os.ProcessState) syscall.Signal {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return w.Signal()
	}
	return 0
}
