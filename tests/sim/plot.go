package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/streamhouse/streamhouse/services/agent"
)

// plot is what a seed decides before a run begins.
type plot struct {
	seed       uint64
	agents     int
	partitions uint32
	clients    int
	every      time.Duration // from one record of a client to its next
	readEvery  time.Duration
	length     time.Duration // of the part with faults
	ack        time.Duration // how long agents let a producer wait
	store      storeFaults
	compaction agent.CompactionConfig
	cleanup    agent.CleanupConfig
	stateEvery int // segment carries the producers' whole state
	keeps      retention
	drainAll   bool // at the end
	events     []event

	joined int // clients so far; used by the playing goroutine only
}

// event happens at a time after the beginning.
type event struct {
	at     time.Duration
	text   string
	happen func(w *World)
}

func (p *plot) nextClient() int {
	p.joined++
	return p.joined
}

func newPlot(seed uint64) *plot {
	d := newDice(seed, 0)
	p := &plot{
		seed: seed, agents: 2 + d.IntN(4), partitions: 3 + uint32(d.IntN(6)), clients: 1 + d.IntN(3),
		every: d.between(100*time.Millisecond, time.Second), readEvery: d.between(200*time.Millisecond, 2*time.Second),
		length: d.evenly(7*time.Second, 21*time.Second), drainAll: d.chance(50),
		ack: pick(d, 4*time.Second, 15*time.Second, 30*time.Second),
		store: storeFaults{
			latency: d.between(time.Millisecond, 50*time.Millisecond), percent: pick(d, 0, 0, 0.5, 3),
			aim:   pick(d, aimNone, aimCommits, aimSeals, aimMoves, aimBeats, aimPuts, aimReads),
			aimed: d.evenlyPercent(3, 60), longest: d.between(time.Second, 15*time.Second),
		},
	}
	c := newDice(seed, 5)
	p.compaction = agent.CompactionConfig{Age: c.between(time.Second, 20*time.Second), Bytes: 1 << (8 + c.IntN(8)), MemoryBytes: 1 << (8 + c.IntN(10))}
	p.cleanup = agent.CleanupConfig{Interval: c.between(time.Second, 5*time.Second), Grace: c.between(100*time.Millisecond, 10*time.Second)}
	p.stateEvery = 1 << c.IntN(9)
	for range 2 + d.IntN(7) {
		p.addEvent(d)
	}
	if d.chance(40) {
		p.addTopics(d)
	}
	p.addGrowth()
	p.addRetention()
	slices.SortStableFunc(p.events, func(a, b event) int { return int(a.at - b.at) })
	return p
}

func (d dice) evenlyPercent(low, high float64) float64 { return low + d.Float64()*(high-low) }

func (p *plot) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d agents, %d partitions, %d clients that send every %s, for %s\nstore: %v\nmerged after %s, or %d bytes; removed after %s, every %s; %v; states in every %d. segment\n",
		p.agents, p.partitions, p.clients, p.every, p.length, p.store, p.compaction.Age, p.compaction.Bytes, p.cleanup.Grace, p.cleanup.Interval, p.keeps, p.stateEvery)
	for _, e := range p.events {
		fmt.Fprintf(&b, "%8s  %s\n", e.at.Round(time.Millisecond), e.text)
	}
	return b.String()
}

func (p *plot) add(at time.Duration, happen func(*World), format string, args ...any) {
	p.events = append(p.events, event{at, fmt.Sprintf(format, args...), happen})
}

// addEvent adds one thing that happens, and what ends it.
func (p *plot) addEvent(d dice) {
	at := d.evenly(0, p.length)
	n := d.IntN(p.agents + 2) // agents that join later have the next numbers
	switch kind := d.IntN(100); {
	case kind < 30:
		p.addPause(d, at, n)
	case kind < 45:
		p.addCrash(d, at, n)
	case kind < 57:
		p.add(at, func(w *World) { w.nodeAct(n, (*node).drain) }, "agent %d drains", n)
		p.addStart(d, at+d.between(100*time.Millisecond, 10*time.Second))
	case kind < 65:
		p.addStart(d, at)
	case kind < 75:
		p.addCut(d, at)
	case kind < 90:
		longest := d.between(100*time.Millisecond, 3*lease)
		p.add(at, func(w *World) { w.cutStore(n, true) }, "agent %d loses the store", n)
		p.add(at+longest, func(w *World) { w.cutStore(n, false) }, "agent %d has the store again", n)
	default:
		p.add(at, func(w *World) { w.throttled.Store(true) }, "the store takes no heartbeats")
		p.add(at+d.evenly(lease, 3*lease), func(w *World) { w.throttled.Store(false) }, "the store takes heartbeats again")
	}
}

func (p *plot) addPause(d dice, at time.Duration, n int) {
	pause := d.between(50*time.Millisecond, 2*time.Second)
	switch {
	case d.chance(40): // it goes on while others take its place
		pause = d.evenly(lease*9/10, lease*3/2)
	case d.chance(60):
		pause = d.evenly(lease/2, 4*lease)
	}
	if d.chance(50) {
		p.add(at, func(w *World) { w.nodeAct(n, func(n *node) { n.link.set(func() { n.link.zombie = pause }) }) },
			"agent %d stands still for %s before its next commit", n, pause)
		return
	}
	p.add(at, func(w *World) { w.nodeAct(n, (*node).pause) }, "agent %d stands still", n)
	p.add(at+pause, func(w *World) { w.nodeAct(n, (*node).resume) }, "agent %d goes on", n)
}

func (p *plot) addCrash(d dice, at time.Duration, n int) {
	silently := d.chance(30)
	p.add(at, func(w *World) { w.nodeAct(n, func(n *node) { n.crash(silently) }) }, "agent %d dies, silently: %t", n, silently)
	p.addStart(d, at+d.between(100*time.Millisecond, 10*time.Second))
}

// addStart lets an agent start, sometimes at the address of another that is gone.
func (p *plot) addStart(d dice, at time.Duration) {
	again := d.chance(50)
	p.add(at, func(w *World) {
		if len(w.living()) < maxAgents {
			w.start(w.freeAddress(again))
		}
	}, "an agent starts, at an old address: %t", again)
}

const maxAgents = 5

// freeAddress is that of an agent that is gone, if old, or "".
func (w *World) freeAddress(old bool) string {
	taken := map[string]bool{}
	for _, n := range w.nodes {
		taken[n.address] = taken[n.address] || n.life < gone
	}
	for _, n := range w.nodes {
		if old && !taken[n.address] {
			return n.address
		}
	}
	return ""
}

// addCut cuts a link between two agents, or an agent and a client.
func (p *plot) addCut(d dice, at time.Duration) {
	a := address(d.IntN(p.agents))
	b := clientName(1 + d.IntN(p.clients))
	if d.chance(60) {
		b = address(d.IntN(p.agents))
	}
	silent := d.chance(50)
	p.add(at, func(w *World) { w.net.cut(a, b, silent) }, "the link from %s to %s is cut, silently: %t", a, b, silent)
	p.add(at+d.between(time.Second, 20*time.Second), func(w *World) { w.net.heal(a, b) }, "the link from %s to %s is healed", a, b)
}

// nodeAct does something to a node, if there is one of that number.
func (w *World) nodeAct(number int, act func(*node)) {
	if number < len(w.nodes) {
		act(w.nodes[number])
	}
}

func (w *World) cutStore(number int, off bool) {
	w.nodeAct(number, func(n *node) { n.link.set(func() { n.link.cutOff = off }) })
}

// addTopics lets topics of one name come and go.
func (p *plot) addTopics(d dice) {
	for at := d.evenly(0, p.length/2); at < p.length; at += d.between(time.Second, 20*time.Second) {
		p.add(at, (*World).replaceTopic, "the topic \"side\" is deleted, if it is there, and made again")
	}
}

// replaceTopic deletes the topic "side" and makes another of its name.
func (w *World) replaceTopic() {
	const name, partitions, limit = "side", 3, 3 * time.Second
	for _, t := range w.topics {
		if t.name != name {
			continue
		}
		t.end() // what comes later under the name goes to another topic
		if t.exists && !w.remove(t, limit) || t.doubtful {
			t.doubtful = true // nobody can tell any more which topic has the name
			return
		}
	}
	t := w.newTopic(name, partitions)
	t.patience = limit
	if w.create(t, limit) {
		t.join()
	}
}
