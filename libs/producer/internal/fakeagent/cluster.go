package fakeagent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// scheme makes gRPC hand an address to the dialer as it is.
const scheme = "passthrough:///"

// Address is how the agent of that name is reached and advertised.
func Address(agent string) string { return scheme + agent }

// Attempt is one transmission of a batch to an agent.
type Attempt struct {
	Agent     string
	Stream    int // the cluster's streams are counted from 1
	Topic     string
	Partition uint32
	Header    batch.Header
	Data      []byte
	// Try counts the transmissions of this identity to this partition, from 1.
	Try int
	// Late: the stream has ended since the batch came in.
	Late bool
}

// Reply is what happens to an attempt. The zero Reply is an agent that works:
// ownership and sequence are checked, the batch is appended and answered. A
// Late attempt is dropped by the zero Reply.
type Reply struct {
	// Delay and Wait come first; other batches of the partition wait behind.
	Delay time.Duration
	Wait  <-chan struct{}
	// Err is answered; unless Append is set, nothing is appended.
	Err *reason.Error
	// Append appends, as far as the sequence allows, whatever else is set.
	Append bool
	// Silent answers nothing.
	Silent bool
	// Break ends the stream with this error.
	Break error
}

// Cluster is a set of agents that share topics. It is safe for concurrent use.
type Cluster struct {
	options []grpc.ServerOption
	wg      sync.WaitGroup // what outlives its stream

	mu struct {
		sync.Mutex
		script   func(*Attempt) Reply
		describe func(topic string) error
		agents   map[string]*agent
		topics   map[string]*topic
		nextID   uint32
		// connections are those that carry something, by agent.
		connections map[string][]*connection

		streams, dials, described int
		tries                     map[string]int
		largest                   int // request, in bytes of batches
	}
}

type topic struct {
	name   string
	id     uint32
	owners []string // names of agents, by partition
	logs   []*log
}

// New starts agents with these names. Server options are for all of them.
func New(agents []string, opts ...grpc.ServerOption) *Cluster {
	c := &Cluster{options: opts}
	c.mu.agents = map[string]*agent{}
	c.mu.topics = map[string]*topic{}
	c.mu.tries = map[string]int{}
	c.mu.connections = map[string][]*connection{}
	for _, name := range agents {
		c.Start(name)
	}
	return c
}

// Stop ends all agents and what they have begun.
func (c *Cluster) Stop() {
	for _, name := range c.names() {
		c.Kill(name)
	}
	c.wg.Wait()
}

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

// Start runs an agent, also one that was killed.
func (c *Cluster) Start(name string) {
	a := &agent{cluster: c, name: name, listener: bufconn.Listen(1 << 20), done: make(chan struct{})}
	a.server = grpc.NewServer(append([]grpc.ServerOption{grpc.MaxRecvMsgSize(16 << 20)}, c.options...)...)
	streamhousev1.RegisterProducerServiceServer(a.server, a)
	streamhousev1.RegisterTopicServiceServer(a.server, &describer{cluster: c})
	c.mu.Lock()
	c.mu.agents[name] = a
	c.mu.Unlock()
	c.wg.Go(func() { _ = a.server.Serve(a.listener) }) // it ends by Stop
}

// Kill ends an agent at once: connections break, new ones are refused.
func (c *Cluster) Kill(name string) {
	c.mu.Lock()
	a := c.mu.agents[name]
	delete(c.mu.agents, name)
	c.mu.Unlock()
	if a != nil {
		close(a.done)
		a.server.Stop()
		_ = a.listener.Close() // Stop has closed it
	}
}

var errRefused = errors.New("connection refused")

// Dialer is the network, for WithDialOptions.
func (c *Cluster) Dialer() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		c.mu.Lock()
		c.mu.dials++
		a := c.mu.agents[strings.TrimPrefix(address, scheme)]
		c.mu.Unlock()
		if a == nil {
			return nil, fmt.Errorf("dial %s: %w", address, errRefused)
		}
		conn, err := a.listener.DialContext(ctx)
		if err != nil {
			return nil, err
		}
		return c.connected(a.name, conn), nil
	})
}

// CreateTopic makes a topic, anew if there is one of that name. Owners are
// given by partition.
func (c *Cluster) CreateTopic(name string, owners ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.nextID++
	t := &topic{name: name, id: c.mu.nextID, owners: owners}
	for range owners {
		t.logs = append(t.logs, &log{producers: map[uint64][]appended{}})
	}
	c.mu.topics[name] = t
}

// DeleteTopic ends a topic.
func (c *Cluster) DeleteTopic(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.topics, name)
}

// Move gives a partition to another agent.
func (c *Cluster) Move(topic string, partition int, agent string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.topics[topic].owners[partition] = agent
}

// ForgetProducers makes a partition's owner remember no producer.
func (c *Cluster) ForgetProducers(topic string, partition int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.mu.topics[topic].logs[partition].producers)
}

// Script sets what decides about attempts. It may be called by several
// goroutines at once.
func (c *Cluster) Script(script func(*Attempt) Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.script = script
}

// OnDescribe sets what may refuse to describe a topic.
func (c *Cluster) OnDescribe(refuse func(topic string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.describe = refuse
}

// Log returns what a partition holds.
func (c *Cluster) Log(topic string, partition int) []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.mu.topics[topic].logs[partition].entries)
}

// Counts are what happened so far.
type Counts struct {
	Streams, Dials, Described int
	// LargestRequest is in bytes of batches.
	LargestRequest int
}

// Counts returns what happened so far.
func (c *Cluster) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Counts{Streams: c.mu.streams, Dials: c.mu.dials, Described: c.mu.described, LargestRequest: c.mu.largest}
}

// Grow adds partitions to a topic.
func (c *Cluster) Grow(topic string, owners ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.mu.topics[topic]
	for _, owner := range owners {
		t.owners = append(t.owners, owner)
		t.logs = append(t.logs, &log{producers: map[uint64][]appended{}})
	}
}
