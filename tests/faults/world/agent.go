package world

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/streamhouse/streamhouse/services/agent"
)

// Agent is an agent that was launched.
type Agent struct {
	*agent.Agent

	host  *host
	addr  string
	stop  context.CancelFunc
	ended chan struct{}
	err   error // of Run, once ended
}

// Edit changes an agent's settings.
type Edit func(*agent.Config)

// Faults makes an agent's store fail by rules; see faults.ParseRule.
func Faults(rules ...string) Edit {
	return func(c *agent.Config) { c.Store.Faults = append(c.Store.Faults, rules...) }
}

// At gives an agent the address of an earlier one, by its number from 0, in
// place of one of its own.
func At(earlier int) Edit {
	return func(c *agent.Config) {
		c.Listeners[0].Address = address(earlier)
		c.Listeners[0].Advertise = c.Listeners[0].Address
	}
}

func address(number int) string { return fmt.Sprintf("127.0.0.1:%d", 7001+number) }

// Timing of agents. A producer's request timeout is longer than AckTimeout, so
// that it hears what its agent has to say.
const (
	Heartbeat    = time.Second
	Lease        = 5 * time.Second
	AckTimeout   = 4 * time.Second
	DrainTimeout = 10 * time.Second
)

// settings make small segments, and many, of little data.
func settings(name, address string) agent.Config {
	return agent.Config{
		Name:         name,
		Listeners:    []agent.Listener{{Name: "internal", Address: address, Advertise: address}},
		Flush:        agent.FlushConfig{Bytes: 4 << 10, Age: 10 * time.Millisecond, MaxPerSecond: agent.NoCeiling, Concurrency: 4},
		Buffers:      agent.BufferConfig{Bytes: 1 << 20, CacheBytes: 1 << 20},
		Limits:       agent.LimitConfig{MaxBatchBytes: 1 << 20},
		Session:      agent.SessionConfig{Heartbeat: Heartbeat, Lease: Lease},
		AckTimeout:   AckTimeout,
		DrainTimeout: DrainTimeout,
	}
}

// Launch runs another agent over the world's store and leads new connections
// to it. One that runs already is not told: it is a zombie as soon as the new
// one has taken over. All agents have the same name, like two processes of one
// configuration.
func (w *World) Launch(edits ...Edit) *Agent {
	w.Helper()
	cfg := settings("agent", address(len(w.agents)))
	for _, edit := range edits {
		edit(&cfg)
	}
	h := &host{listener: bufconn.Listen(1 << 15)}
	running, err := agent.New(cfg, agent.WithMemory(w.memory), agent.WithListener("internal", h.listener), agent.WithDialer(w.net.dial))
	if err != nil {
		w.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(w.Context()))
	a := &Agent{Agent: running, host: h, addr: cfg.Listeners[0].Address, stop: stop, ended: make(chan struct{})}
	go func() { // Stop waits for it
		a.err = running.Run(ctx)
		close(a.ended)
	}()
	w.agents = append(w.agents, a)
	w.net.join(cfg.Listeners[0].Address, h)
	return a
}

// Start is Launch, and waits until the agent serves.
func (w *World) Start(edits ...Edit) *Agent {
	w.Helper()
	a := w.Launch(edits...)
	if !a.Await(time.Minute) {
		w.Fatal("the agent does not get ready")
	}
	return a
}

// Await tells whether the agent serves within a time.
func (a *Agent) Await(limit time.Duration) bool {
	select {
	case <-a.Ready():
		return true
	case <-a.ended:
		return false
	case <-time.After(limit):
		return false
	}
}

// Stop asks the agent to drain, as SIGTERM does, and returns what came of it.
func (a *Agent) Stop() error {
	a.stop()
	<-a.ended
	return a.err
}

// Address is where the agent is reached.
func (a *Agent) Address() string { return a.addr }

// Cut takes the agent off the network: what its clients see of kill -9. Its
// store is cut off by rules, or by the next agent, which seals its journal.
func (a *Agent) Cut() { a.host.cut() }

// Ended is closed when Run has returned.
func (a *Agent) Ended() <-chan struct{} { return a.ended }
