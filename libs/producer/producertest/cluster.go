package producertest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
)

// Cluster is a set of agents that share topics. It is safe for concurrent use.
// Its methods panic where a topic, partition or agent does not exist: that is a
// mistake of the test.
type Cluster struct {
	options []grpc.ServerOption
	wg      sync.WaitGroup // what outlives its stream

	mu struct {
		sync.Mutex
		script   func(*Attempt) Reply
		describe func(topic string) error
		agents   map[string]*agent // those that run
		zones    map[string]string // by agent
		topics   map[string]*topic
		nextID   uint32
		tries    map[identity]int
		counts   Counts
	}
}

// identity is what a batch keeps when it is sent again.
type identity struct {
	topic, partition   uint32
	producer, sequence uint64
}

// Counts are what happened so far.
type Counts struct {
	Streams, Dials, Described int
	// LargestRequest is in bytes of batches.
	LargestRequest int
}

// Option is a part of a new cluster.
type Option func(*settings)

type settings struct {
	agents []string
	topics []func(*Cluster)
	server []grpc.ServerOption
}

// Agents names the agents. Default: one, called "a".
func Agents(names ...string) Option {
	return func(s *settings) { s.agents = names }
}

// Topic makes a topic whose partitions belong to the agents in turn. Default:
// no topics; see also CreateTopic.
func Topic(name string, partitions int) Option {
	return func(s *settings) {
		s.topics = append(s.topics, func(c *Cluster) {
			owners := make([]string, partitions)
			for i := range owners {
				owners[i] = s.agents[i%len(s.agents)]
			}
			c.CreateTopic(name, owners...)
		})
	}
}

// ServerOptions are for the gRPC servers of all agents, for example
// credentials.
func ServerOptions(opts ...grpc.ServerOption) Option {
	return func(s *settings) { s.server = append(s.server, opts...) }
}

// New starts a cluster. The end of the test stops it.
func New(tb testing.TB, opts ...Option) *Cluster {
	tb.Helper()
	s := settings{agents: []string{"a"}}
	for _, opt := range opts {
		opt(&s)
	}
	c := &Cluster{options: s.server}
	c.mu.agents = map[string]*agent{}
	c.mu.zones = map[string]string{}
	c.mu.topics = map[string]*topic{}
	c.mu.tries = map[identity]int{}
	for _, name := range s.agents {
		c.Start(name)
	}
	for _, create := range s.topics {
		create(c)
	}
	tb.Cleanup(c.Stop)
	return c
}

// Stop ends all agents and waits for what they have begun. It may be called
// again.
func (c *Cluster) Stop() {
	for _, name := range c.names() {
		c.Kill(name)
	}
	c.wg.Wait()
}

// names are those of the agents that run, sorted.
func (c *Cluster) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.mu.agents {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c *Cluster) agent(name string) *agent {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.mu.agents[name]
	if a == nil {
		panic(fmt.Sprintf("producertest: no agent %q runs", name))
	}
	return a
}

// Start runs an agent: a new one, or one that was killed or drained.
func (c *Cluster) Start(name string) {
	a := newAgent(c, name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.agents[name] != nil {
		panic(fmt.Sprintf("producertest: agent %q runs already", name))
	}
	c.mu.agents[name] = a
	c.wg.Go(a.run)
}

// Kill ends an agent at once: connections break, new ones are refused. It
// still counts as the owner of its partitions, until they are moved.
func (c *Cluster) Kill(name string) {
	if a := c.remove(name); a != nil {
		a.kill()
	}
}

func (c *Cluster) remove(name string) *agent {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.mu.agents[name]
	delete(c.mu.agents, name)
	return a
}

// Drain ends an agent in the way that a deployment does: its partitions go to
// the other agents in turn, what it has taken is answered, what comes in is
// refused with DRAINING, and its streams end. It returns when the agent has
// ended.
func (c *Cluster) Drain(name string) {
	a := c.agent(name)
	a.drain()
	c.handOver(name)
	a.server.GracefulStop()
	c.Kill(name)
}

// Isolate cuts an agent off the network without closing anything: connections
// stay, and nothing gets through them; new ones hang.
func (c *Cluster) Isolate(name string) { c.agent(name).network.isolate() }

// Rejoin ends what Isolate began. What was held back arrives.
func (c *Cluster) Rejoin(name string) { c.agent(name).network.rejoin() }

// Disconnect makes the present connections to an agent carry nothing any more,
// and tells neither end, as a network does that lost them. New ones work.
func (c *Cluster) Disconnect(agent string) { c.agent(agent).network.disconnect() }

// SetZone sets the zone that an agent advertises. Default none.
func (c *Cluster) SetZone(agent, zone string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.zones[agent] = zone
}

// Script sets what decides about attempts; nil is Proceed for all. It is called
// by several goroutines at once, and may call the cluster's methods.
func (c *Cluster) Script(script func(*Attempt) Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.script = script
}

// OnDescribe sets what may refuse to describe a topic: an error is the answer.
func (c *Cluster) OnDescribe(refuse func(topic string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.describe = refuse
}

// Counts returns what happened so far.
func (c *Cluster) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.counts
}
