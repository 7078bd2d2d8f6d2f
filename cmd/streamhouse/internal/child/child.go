// Package child runs this program's own subcommands as processes of their own
// that tell when they are ready.
package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyTimeout = 30 * time.Second
	pollInterval = 5 * time.Millisecond
	// stopTimeout is how long a process may take to end in order.
	stopTimeout = 30 * time.Second
	// tailSize is how much of a process's last words is kept.
	tailSize = 4 << 10
)

// Process is a running subcommand.
type Process struct {
	cmd  *exec.Cmd
	dir  string
	tail *tail
	// ended is closed, after err was set, when the process is gone.
	ended  chan struct{}
	err    error
	waiter sync.WaitGroup
}

// Start runs this program with args and --ready-file, and returns once the
// file is there, with what it says. The process is told to end when ctx does.
// Stop must be called.
func Start(ctx context.Context, args ...string) (p *Process, ready string, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, "", fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp("", "streamhouse-")
	if err != nil {
		return nil, "", fmt.Errorf("make folder for the ready file: %w", err)
	}
	file := filepath.Join(dir, "ready")
	p = &Process{dir: dir, tail: &tail{}, ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, program, append(args, "--ready-file", file)...)
	p.cmd.Env = environment()
	p.cmd.Stderr = p.tail
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopTimeout
	if err := p.cmd.Start(); err != nil {
		return nil, "", errors.Join(fmt.Errorf("start %s: %w", args[0], err), os.RemoveAll(dir))
	}
	p.waiter.Go(func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	})
	if ready, err = p.await(ctx, file); err != nil {
		_ = p.Stop() // what kept it from getting ready is the better error
		return nil, "", fmt.Errorf("start %s: %w", args[0], err)
	}
	return p, ready, nil
}

// environment is this process's without the settings that it holds for agents:
// a child is told everything by its arguments. Those for tests are no settings.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "STREAMHOUSE_") && !strings.HasPrefix(entry, "STREAMHOUSE_TEST_")
	})
}

// await waits for the ready file, which appears whole.
func (p *Process) await(ctx context.Context, file string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errors.New("it did not get ready in time"))
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		b, err := os.ReadFile(file)
		if err == nil {
			return strings.TrimSpace(string(b)), nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-p.ended:
			return "", fmt.Errorf("%w: %s", p.ending(), p.tail)
		}
	}
}

// ending is never nil: even exit code 0 came too early.
func (p *Process) ending() error {
	if p.err != nil {
		return p.err
	}
	return errors.New("it ended at once")
}

// Ended is closed when the process is gone, for whatever reason.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Tail is the last that the process wrote to its standard error.
func (p *Process) Tail() string { return p.tail.String() }

// Stop asks the process to end, waits for it, and returns an error if it did
// not end in order. Calling it again returns the same.
func (p *Process) Stop() error {
	select {
	case <-p.ended:
	default:
		// It may have ended since; then there is nobody to signal.
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(stopTimeout, func() { _ = p.cmd.Process.Kill() })
		defer kill.Stop()
	}
	p.waiter.Wait()
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("remove ready file: %w", err)
	}
	if p.err != nil {
		return fmt.Errorf("%w: %s", p.err, p.tail)
	}
	return nil
}

// tail keeps the last bytes written to it.
type tail struct {
	mu struct {
		sync.Mutex
		b []byte
	}
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.b = append(t.mu.b, p...)
	if over := len(t.mu.b) - tailSize; over > 0 {
		t.mu.b = append(t.mu.b[:0], t.mu.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.mu.b))
}
