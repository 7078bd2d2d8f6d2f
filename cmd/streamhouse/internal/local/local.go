// Package local runs an agent inside this process, on a free port of the
// loopback interface.
package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent"
)

const listener = "internal"

// Agent is a running agent. Stop must be called.
type Agent struct {
	// Addr is where it serves, in plaintext.
	Addr   string
	cancel context.CancelFunc
	ended  chan error
}

// Start runs an agent on a store, and returns once it serves.
// The agent outlives ctx, which only limits the start: what is on its way when
// a command is interrupted should still be answered.
func Start(ctx context.Context, store agent.StoreConfig) (*Agent, error) {
	return StartWith(ctx, agent.Config{Store: store})
}

// StartWith is Start with settings, but for the agent's name and listeners.
func StartWith(ctx context.Context, cfg agent.Config) (*Agent, error) {
	cfg.Name, cfg.Listeners = "local", []agent.Listener{{Name: listener, Address: "127.0.0.1:0"}}
	made, err := agent.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a := &Agent{Addr: made.Addr(listener), cancel: cancel, ended: make(chan error, 1)}
	go func() { a.ended <- made.Run(running) }() // Stop waits for it
	select {
	case <-made.Ready():
		return a, nil
	case err := <-a.ended:
		cancel()
		return nil, fmt.Errorf("start agent: %w", errors.Join(errors.New("it ended at once"), err))
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), a.Stop())
	}
}

// Stop drains the agent and waits for its end.
func (a *Agent) Stop() error {
	a.cancel()
	if err := <-a.ended; err != nil {
		return fmt.Errorf("stop agent: %w", err)
	}
	return nil
}
