package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/streamhouse/streamhouse/services/agent"
)

// Timing of agents, the same in all runs.
const (
	heartbeat = time.Second
	lease     = 5 * time.Second
)

// node is one agent process.
type node struct {
	w       *World
	number  int
	address string
	link    *storeLink
	host    *host
	still   valve // the process is stopped
	wire    valve // its network is silent
	stop    context.CancelFunc
	ready   <-chan struct{}
	ended   chan struct{}

	mu   sync.Mutex
	life life
}

type life uint8

const (
	up life = iota
	leaving
	gone
)

func (n *node) alive() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life == up
}

// end moves a node on to the end of its life; false if it is there already.
func (n *node) end(to life) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life >= to {
		return false
	}
	n.life = to
	return true
}

func address(number int) string { return fmt.Sprintf("10.0.0.%d:7070", number+1) }

func settings(name, address, zone string, ack, drain time.Duration) agent.Config {
	return agent.Config{
		Name: name, Zone: zone, Insecure: true,
		Listeners:    []agent.Listener{{Name: "internal", Address: address, Advertise: address}},
		Flush:        agent.FlushConfig{Bytes: 2 << 10, Age: 10 * time.Millisecond, MaxPerSecond: agent.NoCeiling, Concurrency: 4},
		Buffers:      agent.BufferConfig{Bytes: 64 << 10, CacheBytes: 1 << 20},
		Limits:       agent.LimitConfig{MaxBatchBytes: 16 << 10},
		Session:      agent.SessionConfig{Heartbeat: heartbeat, Lease: lease},
		AckTimeout:   ack,
		DrainTimeout: drain,
	}
}

// start runs another agent, at the address of an earlier one that is gone, or at
// one of its own.
func (w *World) start(at string) {
	number := len(w.nodes)
	d := newDice(w.plot.seed, 2, uint64(number))
	if at == "" {
		at = address(number)
	}
	n := &node{w: w, number: number, address: at, ended: make(chan struct{})}
	n.link = &storeLink{w: w, number: uint64(number), node: n, counts: map[kindOfRequest]uint64{}, beat: time.Now()}
	n.host = &host{address: at, listener: bufconn.Listen(bufferBytes), wire: &n.wire, conns: map[*conn]bool{}}
	cfg := settings(pick(d, "agent", fmt.Sprintf("agent-%d", number)), at, pick(d, "", "a", "b", "c"), w.plot.ack, d.between(2*time.Second, 40*time.Second))
	cfg.Compaction, cfg.Cleanup = w.plot.compaction, w.plot.cleanup
	running, err := agent.New(cfg, agent.WithMemory(w.memory.Over(n.link)), agent.WithListener("internal", n.host.listener),
		agent.WithDialer(w.net.dialer(at, &n.wire)), agent.WithStateEvery(w.plot.stateEvery))
	if err != nil {
		w.t.Fatal(err)
	}
	n.ready = running.Ready()
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() { // finish waits for it
		_ = running.Run(ctx) // an agent that crashed, or had no time to drain, says so
		n.end(gone)
		w.net.leave(n.host)
		close(n.ended)
	}()
	w.nodes = append(w.nodes, n)
	w.net.join(n.host)
}

// crash ends the process where it stands: what it has sent is on its way, and
// nothing follows. Its connections break, or fall silent as when a machine is
// lost.
func (n *node) crash(silently bool) {
	if !n.end(gone) {
		return
	}
	n.link.set(func() { n.link.dead = true })
	if silently {
		n.wire.close()
	} else {
		n.w.net.leave(n.host)
	}
	n.still.open()
	n.stop()
}

// drain asks the process to end, as SIGTERM does.
func (n *node) drain() {
	if n.end(leaving) {
		n.stop()
	}
}

// pause stops the process as SIGSTOP does. Its timers go on, which those of a
// stopped process do not, but nothing comes out of it or reaches it.
func (n *node) pause() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life != gone {
		n.still.close()
		n.wire.close()
	}
}

func (n *node) resume() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life != gone {
		n.still.open()
		n.wire.open()
	}
}
