package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/child"
	"github.com/streamhouse/streamhouse/services/agent"
)

// agentProcess is an agent in a process of its own.
type agentProcess struct {
	*child.Process
	dir string // to be removed; empty for none
}

// startAgent returns the agent and the address of its listener.
func (o *Options) startAgent(ctx context.Context) (*agentProcess, string, error) {
	a := &agentProcess{}
	dir := o.Dir
	if o.Store == Files && dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "streamhouse-bench-"); err != nil {
			return nil, "", fmt.Errorf("make store folder: %w", err)
		}
		a.dir = dir
	}
	process, ready, err := child.Start(ctx, o.agentArgs(dir)...)
	if err != nil {
		return nil, "", errors.Join(err, a.removeDir())
	}
	a.Process = process
	var told struct{ Addresses map[string]string }
	if err := json.Unmarshal([]byte(ready), &told); err != nil {
		return nil, "", errors.Join(fmt.Errorf("read the agent's ready file: %w", err), a.stop())
	}
	return a, told.Addresses[agent.DefaultListener.Name], nil
}

// memoryKeep bounds what the memory store keeps: a benchmark writes gigabytes
// that nobody reads.
const memoryKeep = 16 << 20

func (o *Options) agentArgs(dir string) []string {
	args := []string{
		"agent", "--listen", agent.DefaultListener.Name + "=127.0.0.1:0", "--log-level", "warn",
		"--flush-max-per-second", strconv.Itoa(o.FlushRate), "--store", o.Store,
	}
	if o.Store == Files {
		args = append(args, "--store-dir", dir)
	} else {
		args = append(args, "--store-memory-keep-bytes", strconv.Itoa(memoryKeep))
	}
	if o.PutLatency != "" {
		args = append(args, "--store-put-latency", o.PutLatency, "--store-commit-latency", o.CommitLatency)
	}
	for _, setting := range o.AgentSettings {
		args = append(args, "--"+setting)
	}
	return args
}

// watch cancels a run whose agent is gone: its records would be retried for
// minutes. The returned function ends the watch.
func (a *agentProcess) watch(cancel context.CancelCauseFunc) (unwatch func()) {
	finished, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-a.Ended():
			cancel(fmt.Errorf("the agent ended during the measurement: %s", a.Tail()))
		case <-finished:
		}
	}()
	return func() {
		close(finished)
		<-done
	}
}

// stop ends the agent and removes its temporary store.
func (a *agentProcess) stop() error {
	err := a.Stop()
	if err != nil {
		err = fmt.Errorf("stop the agent: %w", err)
	}
	return errors.Join(err, a.removeDir())
}

func (a *agentProcess) removeDir() error {
	if a.dir == "" {
		return nil
	}
	if err := os.RemoveAll(a.dir); err != nil {
		return fmt.Errorf("remove store folder: %w", err)
	}
	return nil
}
