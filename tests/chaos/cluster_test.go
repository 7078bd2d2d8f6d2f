package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// node is an agent, and the links by which it is reached and reaches the store.
type node struct {
	*process.Agent
	name string
	// store is the agent's way to the store; peers and clients are the others'
	// way to the agent.
	store, peers, clients *link
	client                *process.Client // by no link
	runs                  int
}

// cluster is agents that share a store server which nothing happens to.
type cluster struct {
	t     *testing.T
	nodes []*node
	store string // the server's address; empty: one agent on a folder of its own
}

// newCluster starts agents.
func newCluster(t *testing.T, size int, flags ...string) *cluster {
	t.Helper()
	shared := process.StartStore(t)
	address := shared[len(shared)-1]
	c := &cluster{t: t, store: address}
	for i := range size {
		n := &node{name: fmt.Sprint("agent-", i), store: newLink(t, address)}
		listen := process.FreeAddress(t)
		n.clients = newLink(t, listen)
		n.Agent = process.NewAgent(t, "")
		n.peers = newLink(t, n.Addr)
		n.Flags = append(slices.Clone(flags), "--name", n.name, "--store", "remote", "--store-address", n.store.addr(),
			"--listen", "clients="+listen, "--advertise", "clients="+n.clients.addr(), "--advertise", "internal="+n.peers.addr())
		c.nodes = append(c.nodes, n)
		n.Start()
		n.client = n.Client()
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.keepLog(t)
		}
	})
	return c
}

// newAlone starts an agent on a folder of its own.
func newAlone(t *testing.T, flags ...string) *cluster {
	t.Helper()
	n := &node{Agent: process.NewAgent(t, "", flags...), name: "agent"}
	n.clients = newLink(t, n.Addr)
	n.Flags = append(n.Flags, "--advertise", "internal="+n.clients.addr())
	c := &cluster{t: t, nodes: []*node{n}}
	n.Start()
	n.client = n.Client()
	t.Cleanup(func() { n.keepLog(t) })
	return c
}

// verify reads the store end to end, while agents work on it.
func (c *cluster) verify(flags ...string) string {
	c.t.Helper()
	return c.nodes[0].Succeed(append([]string{"verify", "--store", "remote", "--store-address", c.store}, flags...)...)
}

// target is what producers are given: all agents.
func (c *cluster) target() string {
	var all []string
	for _, n := range c.nodes {
		all = append(all, n.clients.addr())
	}
	return strings.Join(all, ",")
}

// Start starts the agent, after it keeps the log of the run before.
func (n *node) start(t *testing.T) {
	t.Helper()
	n.keepLog(t)
	n.Start()
}

// keepLog writes the log of a run, where that is wanted.
func (n *node) keepLog(t *testing.T) {
	t.Helper()
	if *logs == "" {
		return
	}
	path := filepath.Join(*logs, fmt.Sprintf("%s-run-%03d.log", n.name, n.runs))
	if err := os.WriteFile(path, []byte(n.Log()+"\n"), 0o600); err != nil {
		t.Error(err)
	}
	n.runs++
}

// settled waits until all agents live and own what they should.
func (c *cluster) settled(t *testing.T, within time.Duration) {
	t.Helper()
	why := ""
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		if why = c.unsettled(t); why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster is not settled after %v: %s", within, why)
		}
	}
}

func (c *cluster) unsettled(t *testing.T) string {
	t.Helper()
	for _, n := range c.nodes {
		found, err := streamhousev1.NewClusterServiceClient(n.client.Conn).DescribeCluster(t.Context(), &streamhousev1.DescribeClusterRequest{})
		if err != nil {
			return fmt.Sprintf("%s: %v", n.name, err)
		}
		if len(found.GetAgents()) != len(c.nodes) {
			return fmt.Sprintf("%s sees %v", n.name, found.GetAgents())
		}
		for _, p := range found.GetPartitions() {
			if p.GetOwner() == "" || p.GetOwner() != p.GetAssigned() {
				return fmt.Sprintf("%s sees %v", n.name, p)
			}
		}
	}
	return ""
}

// deleteTopic ends a topic.
func (c *cluster) deleteTopic(name string) {
	c.t.Helper()
	if _, err := c.nodes[0].client.Topics.DeleteTopic(c.t.Context(), &streamhousev1.DeleteTopicRequest{Name: name}); err != nil {
		c.t.Errorf("delete topic %s: %v", name, err)
	}
}
