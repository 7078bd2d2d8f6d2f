// Package sim plays random histories of a whole cluster: the real agents over
// one store, real producers, and a network between all of them, in a synctest
// bubble. Agents are paused, killed, drained, cut off from each other, from the
// store and from their clients, and what they ask of the store is lost, late,
// repeated or answered with an error. When that is over, every promise that
// anybody was given is held against the log.
//
// A seed decides the plot, the settings and the fate of every request. What it
// does not decide is which of several goroutines that could run at one moment
// of virtual time runs first: Go's scheduler does, and its select statements and
// maps. A run in a process of one thread is nearly always the same again.
package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
)

// World is everything in one run.
type World struct {
	t         *testing.T
	plot      *plot
	memory    *agent.Memory // shared
	net       *network
	nodes     []*node // all that ever were; used by the playing goroutine only
	armed     atomic.Bool
	throttled atomic.Bool
	topics    []*topic
	work      sync.WaitGroup
	clock     atomic.Int64 // orders what clients saw

	mu         sync.Mutex
	conns      map[string]*grpc.ClientConn
	violations []string
}

// Play plays the history of a seed, within a bubble, and returns what went
// wrong.
func Play(t *testing.T, seed uint64) []string {
	t.Helper()
	return play(t, newPlot(seed))
}

func play(t *testing.T, p *plot) []string {
	t.Helper()
	memory := agent.NewMemory()
	w := &World{t: t, plot: p, memory: memory.Shared(), net: newNetwork(), conns: map[string]*grpc.ClientConn{}}
	for range p.agents {
		w.start("")
	}
	main := w.newTopic("orders", p.partitions)
	if !w.create(main, time.Minute) {
		w.violate("unserved: the first topic could not be made")
	}
	for range p.clients {
		main.join()
	}
	main.read(newDice(p.seed, 4))
	w.brief()
	w.armed.Store(true)
	w.stage()
	w.armed.Store(false)
	w.restore()
	w.finish()
	w.judge(memory)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.violations
}

func (w *World) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// stage lets the plot's events happen, each at its time.
func (w *World) stage() {
	began := time.Now()
	for _, e := range w.plot.events {
		time.Sleep(e.at - time.Since(began))
		e.happen(w)
	}
	time.Sleep(w.plot.length - time.Since(began))
}

// living returns the agents that are up.
func (w *World) living() (nodes []*node) {
	for _, n := range w.nodes {
		if n.alive() {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// restore ends all faults, and sees to it that there are agents.
func (w *World) restore() {
	w.throttled.Store(false)
	w.net.healAll()
	for _, n := range w.nodes {
		n.link.set(func() { n.link.cutOff, n.link.zombie = false, 0 })
		n.resume()
	}
	for len(w.living()) < 2 {
		w.start("")
	}
}

// Bounds of what is to come once no fault is left. The dead are taken over
// within a lease that begins when they are first seen to stand still, late
// writes of theirs may land meanwhile, and what a challenger misses falls to the
// next.
const (
	servedWithin = 4 * lease
	agreedWithin = 2 * lease
)

// finish waits until everything is well again, and ends clients and agents.
func (w *World) finish() {
	w.endGrowth()
	w.probe()
	for _, t := range w.topics {
		t.end()
	}
	w.agree()
	w.work.Wait()
	w.mu.Lock()
	conns := w.conns
	w.conns = map[string]*grpc.ClientConn{}
	w.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // it only ever says that it is closed already
	}
	for i, n := range w.nodes {
		if w.plot.drainAll || i%2 == 0 {
			n.drain()
		} else {
			n.crash(false)
		}
	}
	for _, n := range w.nodes {
		<-n.ended
	}
	time.Sleep(2*w.plot.store.longest + maxWait) // what is late may still land
}

// conn is a connection for calls that no library makes.
func (w *World) conn(address string) *grpc.ClientConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.conns[address]
	if c == nil {
		var err error
		c, err = grpc.NewClient("passthrough:///"+address, grpc.WithContextDialer(w.net.dialer("tool", nil)),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: time.Second, Multiplier: 1, MaxDelay: time.Second}, MinConnectTimeout: time.Second}),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			panic(err) // the options are constant
		}
		w.conns[address] = c
	}
	return c
}

// agree waits until all agents tell the same about who owns what, and every
// partition has an owner.
func (w *World) agree() {
	began := time.Now()
	for {
		trouble := w.dispute()
		if trouble == "" {
			return
		}
		if time.Since(began) > agreedWithin {
			w.violate("disputed: %s", trouble)
			return
		}
		time.Sleep(time.Second)
	}
}

func (w *World) dispute() string {
	type owner struct {
		session string
		epoch   uint64
	}
	type place struct {
		topic     string
		partition uint32
	}
	told := map[place]owner{}
	for _, n := range w.living() {
		for _, t := range w.topics {
			if !t.exists {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			d, err := streamhousev1.NewTopicServiceClient(w.conn(n.address)).DescribeTopic(ctx, &streamhousev1.DescribeTopicRequest{Name: t.name})
			cancel()
			if err != nil {
				return fmt.Sprintf("agent %d: %v", n.number, err)
			}
			for _, p := range d.GetPartitions() {
				at := place{t.name, p.GetPartition()}
				o := owner{p.GetOwner(), p.GetEpoch()}
				if before, known := told[at]; known && before != o || o.session == "" || p.GetAddress() == "" {
					return fmt.Sprintf("agent %d says that %v is owned by %v, another %v", n.number, at, o, before)
				}
				told[at] = o
			}
		}
	}
	return ""
}
