package chaos

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

// event is something that happens to a cluster.
type event struct {
	name   string
	weight int
	run    func(e *episode)
	// bound is how long a partition may be without acknowledgements, beyond
	// what run adds to episode.longer.
	bound func() time.Duration
}

// Bounds. The lease is counted from when the others saw the last heartbeat; two
// seconds are for their acting on it; margin is what a client with default
// settings needs to notice (linger, hedging, a pause between two questions for
// the owner), and the machine's share.
const (
	acting = 2 * time.Second
	margin = 3 * time.Second
)

func takeover() time.Duration { return *lease + acting + margin }
func handover() time.Duration { return acting + margin }

// events are all that can happen. Rounds draw among them by weight.
var events = []event{
	{"kill", 5, kill, takeover},
	{"kill-two", 1, killTwo, takeover},
	{"kill-all", 1, killAll, takeover},
	{"stop", 5, stop, takeover},
	{"blink", 1, blink, takeover},
	{"drain", 4, drain, handover},
	{"drain-cut-off", 1, drainCutOff, takeover},
	{"cut-store", 4, cutStore, takeover},
	{"cut-peers", 2, cutPeers, takeover},
	{"cut-clients", 3, cutClients, handover},
	{"cut-off", 2, cutOff, takeover},
}

// episode is one round of one event.
type episode struct {
	*cluster
	rng *rand.Rand
	// a and b are two agents, drawn by lot.
	a, b *node
	// longer is added to the event's bound.
	longer time.Duration
	story  []string
}

func (e *episode) tell(what ...string) { e.story = append(e.story, what...) }

// sleep sleeps for a part of the lease, drawn between low and high.
func (e *episode) sleep(low, high float64) time.Duration {
	d := time.Duration((low + e.rng.Float64()*(high-low)) * float64(*lease)).Round(time.Millisecond)
	e.tell(d.String())
	time.Sleep(d)
	return d
}

// draw picks an event.
func draw(rng *rand.Rand) event {
	total := 0
	for _, ev := range events {
		total += ev.weight
	}
	n := rng.IntN(total)
	for _, ev := range events {
		if n -= ev.weight; n < 0 {
			return ev
		}
	}
	panic("the weights do not add up")
}

// named finds an event.
func named(t *testing.T, name string) event {
	t.Helper()
	var names []string
	for _, ev := range events {
		if ev.name == name {
			return ev
		}
		names = append(names, ev.name)
	}
	t.Fatalf("there is no event %q: try %s", name, strings.Join(names, ", "))
	return event{}
}

// begin starts an agent again.
func (e *episode) begin(n *node) {
	e.t.Helper()
	e.tell("start", n.name)
	n.start(e.t)
}

// end sends SIGKILL.
func (e *episode) end(n *node) {
	e.t.Helper()
	e.tell("kill", n.name)
	n.Kill()
}

// kill ends an agent; it comes back before its lease is over, or after.
func kill(e *episode) {
	e.end(e.a)
	e.sleep(0, 2)
	e.begin(e.a)
}

func killTwo(e *episode) {
	e.end(e.a)
	e.longer += e.sleep(0, 1)
	e.end(e.b)
	e.sleep(0, 2)
	e.begin(e.b)
	e.begin(e.a)
}

// killAll: whoever comes back first has to watch the dead for a lease.
func killAll(e *episode) {
	for _, n := range e.nodes {
		e.end(n)
	}
	e.longer += e.sleep(0, 1)
	began := time.Now()
	for _, n := range e.nodes {
		e.begin(n)
	}
	e.longer += time.Since(began)
}

// stop lets an agent stand still for longer than its lease, and go on.
func stop(e *episode) {
	e.tell("stop", e.a.name)
	e.a.Signal(syscall.SIGSTOP)
	e.sleep(1.1, 2.5)
	e.a.Signal(syscall.SIGCONT)
}

// blink lets an agent stand still for less than its lease.
func blink(e *episode) {
	e.tell("stop", e.a.name)
	e.a.Signal(syscall.SIGSTOP)
	e.sleep(0.1, 1)
	e.a.Signal(syscall.SIGCONT)
}

func drain(e *episode) {
	e.tell("drain", e.a.name)
	began := time.Now()
	if code := e.a.Terminate(); code != 0 {
		e.t.Errorf("%s: exit code %d after a drain\n%s", e.a.name, code, e.a.Log())
	}
	e.tell("in", time.Since(began).Round(time.Millisecond).String())
	e.sleep(0, 1)
	e.begin(e.a)
}

// drainCutOff drains an agent that cannot talk to its peers, nor they to it.
func drainCutOff(e *episode) {
	how := e.how()
	for _, n := range e.nodes {
		n.peers.set(how)
	}
	drain(e)
	for _, n := range e.nodes {
		n.peers.set(whole)
	}
}

// how draws a kind of cut.
func (e *episode) how() cut {
	how := []cut{frozen, refused}[e.rng.IntN(2)]
	e.tell(how.String())
	return how
}

// cutFor cuts links for a while, around the lease.
func (e *episode) cutFor(links ...*link) time.Duration {
	e.tell(e.a.name)
	how := e.how()
	for _, l := range links {
		l.set(how)
	}
	d := e.sleep(0.2, 2.5)
	for _, l := range links {
		l.set(whole)
	}
	return d
}

func cutStore(e *episode) { e.cutFor(e.a.store) }
func cutPeers(e *episode) { e.cutFor(e.a.peers) }

// cutClients: no client can reach the owner, which lives; nobody takes over.
func cutClients(e *episode) { e.longer += e.cutFor(e.a.clients) }

// cutOff cuts an agent off from everything.
func cutOff(e *episode) { e.cutFor(e.a.store, e.a.peers, e.a.clients) }
