package process

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// readyTimeout and endTimeout are far above what a busy machine needs.
	readyTimeout = 30 * time.Second
	endTimeout   = 60 * time.Second
	pollInterval = 2 * time.Millisecond
)

// Agent is an agent on a store folder and an address of its own, both of which
// it keeps over restarts. Its methods are for the test's goroutine alone. What
// it logged is shown when the test fails; what the race detector found in it
// fails the test.
type Agent struct {
	// Dir is the store's folder.
	Dir string
	// Addr is where it listens, host:port.
	Addr string
	// Flags are added to every start: a test may change them before the next.
	Flags []string
	// Env is added to the environment of every start.
	Env []string
	// Program is the path of the program to start; empty is the agent as it is
	// here.
	Program string

	t       *testing.T
	ready   string
	process *running
}

// NewAgent makes an agent on dir, which is not started yet; an empty dir
// stands for a new temporary folder.
func NewAgent(t *testing.T, dir string, flags ...string) *Agent {
	t.Helper()
	if dir == "" {
		dir = filepath.Join(t.TempDir(), "store")
	}
	a := &Agent{t: t, Dir: dir, Addr: FreeAddress(t), Flags: flags, ready: filepath.Join(t.TempDir(), "ready")}
	t.Cleanup(a.end)
	return a
}

// StartAgent starts an agent on a new folder.
func StartAgent(t *testing.T, flags ...string) *Agent {
	t.Helper()
	a := NewAgent(t, "", flags...)
	a.Start()
	return a
}

// FreeAddress finds a port that is free and stays free while an agent is
// down: one below those that the system hands to outgoing connections, of
// which the producer's own could be one.
func FreeAddress(t *testing.T) string {
	t.Helper()
	const low, high, tries = 12000, 32000, 100
	for range tries {
		addr := fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(high-low))
		if l, err := net.Listen("tcp", addr); err == nil { //nolint:noctx // it takes no time
			_ = l.Close() // nothing was sent
			return addr
		}
	}
	t.Fatalf("%d of %d ports that were tried are in use", tries, tries)
	return ""
}

// Start starts the agent and waits until it serves.
func (a *Agent) Start() {
	a.t.Helper()
	if code, said := a.TryStart(); code >= 0 {
		a.t.Fatalf("agent ended with exit code %d before it served\n%s", code, said)
	}
}

// TryStart starts the agent. It returns -1 once it serves; where it ends
// before, its exit code and what it wrote to its standard error.
func (a *Agent) TryStart() (code int, said string) {
	a.t.Helper()
	if a.process != nil && a.process.alive() {
		a.t.Fatal("the agent runs already")
	}
	_ = os.Remove(a.ready) // what a killed one left would look like the next
	programs, err := build()
	if err != nil {
		a.t.Fatal(err)
	}
	program := cmp.Or(a.Program, programs.agent)
	args := append([]string{"--store-dir", a.Dir, "--listen", "internal=" + a.Addr, "--ready-file", a.ready}, a.Flags...)
	if a.process, err = start(program, args, a.Env, nil, nil); err != nil {
		a.t.Fatal(err)
	}
	return a.awaitReady()
}

func (a *Agent) awaitReady() (code int, said string) {
	a.t.Helper()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for deadline := time.After(readyTimeout); ; {
		if b, err := os.ReadFile(a.ready); err == nil {
			a.checkReady(b)
			return -1, ""
		}
		select {
		case <-ticker.C:
		case <-a.process.ended:
			return a.process.wait(a.t, endTimeout).ExitCode(), a.process.stderr.String()
		case <-deadline:
			a.t.Fatalf("agent is not ready after %v\n%s", readyTimeout, a.process.stderr)
		}
	}
}

// checkReady holds the ready file to what docs/configuration.md says of it.
func (a *Agent) checkReady(b []byte) {
	a.t.Helper()
	var ready struct {
		PID       int               `json:"pid"`
		Addresses map[string]string `json:"addresses"`
	}
	if err := json.Unmarshal(b, &ready); err != nil {
		a.t.Fatalf("ready file %q: %v", b, err)
	}
	if ready.PID != a.PID() || ready.Addresses["internal"] != a.Addr {
		a.t.Fatalf("ready file says %+v, want pid %d and address %s", ready, a.PID(), a.Addr)
	}
}

// Kill ends the agent by SIGKILL, and fails the test if it was gone before.
func (a *Agent) Kill() {
	a.t.Helper()
	if !a.process.alive() {
		a.t.Fatalf("agent ended by itself: %v\n%s", a.process.cmd.ProcessState, a.process.stderr)
	}
	a.process.kill()
	if got := signalled(a.process.wait(a.t, endTimeout)); got != syscall.SIGKILL {
		a.t.Fatalf("agent ended by itself before it could be killed: %v\n%s", a.process.cmd.ProcessState, a.process.stderr)
	}
}

// Terminate sends SIGTERM and returns the exit code.
func (a *Agent) Terminate() int {
	a.t.Helper()
	a.Signal(syscall.SIGTERM)
	return a.Wait()
}

// Signal sends a signal and does not wait for what comes of it.
func (a *Agent) Signal(s syscall.Signal) {
	a.t.Helper()
	if err := a.process.cmd.Process.Signal(s); err != nil {
		a.t.Fatalf("signal agent: %v\n%s", err, a.process.stderr)
	}
}

// Wait waits for the agent's end and returns its exit code; -1 when a signal
// ended it.
func (a *Agent) Wait() int {
	a.t.Helper()
	return a.process.wait(a.t, endTimeout).ExitCode()
}

// AwaitLog waits until this run of the agent has logged text.
func (a *Agent) AwaitLog(text string) {
	a.t.Helper()
	a.process.await(a.t, text, readyTimeout)
}

// PID is the id of the agent's process.
func (a *Agent) PID() int { return a.process.cmd.Process.Pid }

// Log is what this run of the agent has logged so far, its last MiB.
func (a *Agent) Log() string { return a.process.stderr.String() }

// end cleans up after the test.
func (a *Agent) end() {
	if a.process == nil {
		return
	}
	a.process.kill()
	if a.t.Failed() {
		lines := strings.Split(a.process.stderr.String(), "\n")
		a.t.Logf("agent on %s, the end of its log:\n%s", a.Addr, strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}
