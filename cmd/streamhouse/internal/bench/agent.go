package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/child"
	"github.com/streamhouse/streamhouse/services/agent"
)

// agentProcess is an agent in a process of its own.
type agentProcess struct {
	*child.Process
	remove func() error // what was made for its store
}

// startAgent returns the agent and the address of its listener.
func (o *Options) startAgent(ctx context.Context) (*agentProcess, string, error) {
	store, remove, err := o.makeStore(ctx)
	if err != nil {
		return nil, "", err
	}
	a := &agentProcess{remove: remove}
	process, ready, err := child.Start(ctx, append(o.agentArgs(), store...)...)
	if err != nil {
		return nil, "", errors.Join(err, remove())
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

// removeLimit is above what deleting a run's objects takes.
const removeLimit = 3 * time.Minute

// makeStore makes the store, and returns the agent's settings for it and what
// removes it.
func (o *Options) makeStore(ctx context.Context) (settings []string, remove func() error, err error) {
	switch {
	case o.Store == AWS:
		trial, remove, err := agent.TrialStore(ctx, o.AWS)
		settings = []string{"--store-bucket", trial.Bucket, "--store-bucket-prefix", trial.BucketPrefix, "--store-table-prefix", trial.TablePrefix}
		if trial.EndpointURL != "" {
			settings = append(settings, "--store-endpoint-url", trial.EndpointURL)
		}
		return settings, func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
			defer cancel()
			return remove(ctx)
		}, err
	case o.Store == Memory:
		return []string{"--store-memory-keep-bytes", strconv.Itoa(memoryKeep)}, func() error { return nil }, nil
	case o.Dir != "":
		return []string{"--store-dir", o.Dir}, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "streamhouse-bench-")
	if err != nil {
		return nil, nil, fmt.Errorf("make store folder: %w", err)
	}
	return []string{"--store-dir", dir}, func() error {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove store folder: %w", err)
		}
		return nil
	}, nil
}

func (o *Options) agentArgs() []string {
	args := []string{
		"agent", "--listen", agent.DefaultListener.Name + "=127.0.0.1:0", "--log-level", "warn",
		"--flush-max-per-second", strconv.Itoa(o.FlushRate), "--store", o.Store,
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

// stop ends the agent and removes what was made for its store.
func (a *agentProcess) stop() error {
	err := a.Stop()
	if err != nil {
		err = fmt.Errorf("stop the agent: %w", err)
	}
	return errors.Join(err, a.remove())
}
