package producertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// scheme makes gRPC hand an address to the dialer as it is.
const scheme = "passthrough:///"

// entrance leads to whichever agent can be reached.
const entrance = "cluster"

// Address is how the agent of that name is reached and advertised.
func Address(agent string) string { return scheme + agent }

// Target is the cluster's bootstrap target, for producer.New: it leads to the
// first agent, by name, that is up.
func (c *Cluster) Target() string { return scheme + entrance }

var errRefused = errors.New("connection refused")

// Dialer is the way to the cluster, for producer.WithDialOptions.
func (c *Cluster) Dialer() grpc.DialOption { return grpc.WithContextDialer(c.Dial) }

// Dial connects to the agent with that address, or to the cluster by its
// Target: for dialers of the test's own, which go before it.
func (c *Cluster) Dial(ctx context.Context, address string) (net.Conn, error) {
	a := c.reach(strings.TrimPrefix(address, scheme))
	if a == nil {
		return nil, fmt.Errorf("dial %s: %w", address, errRefused)
	}
	if err := a.network.pass(ctx); err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return a.network.connect(ctx)
}

// reach counts the dial.
func (c *Cluster) reach(name string) *agent {
	names := c.names()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.counts.Dials++
	if name != entrance {
		return c.mu.agents[name]
	}
	for _, n := range names {
		if a := c.mu.agents[n]; a != nil && !a.isDraining() && !a.network.isolated() {
			return a
		}
	}
	return nil
}

// bufferSize is what a connection holds in each direction, in bytes.
const bufferSize = 64 << 10

// network is an agent's end of the network. It knows the connections, so that
// one can be reset, and has a gate, so that all can fall silent.
type network struct {
	*bufconn.Listener

	mu      sync.Mutex
	conns   map[string]*conn // by remote address
	clients map[*clientConn]bool
	opened  int
	gate    chan struct{} // closed: bytes pass
	closed  chan struct{}
}

func newNetwork() *network {
	n := &network{Listener: bufconn.Listen(bufferSize), conns: map[string]*conn{}, clients: map[*clientConn]bool{}, gate: make(chan struct{}), closed: make(chan struct{})}
	close(n.gate)
	return n
}

// Accept names connections, for the pipes of bufconn all have one name.
func (n *network) Accept() (net.Conn, error) {
	pipe, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opened++
	c := &conn{Conn: pipe, network: n, name: address(fmt.Sprint("client-", n.opened)), closed: make(chan struct{})}
	n.conns[c.name.String()] = c
	return c, nil
}

// Close also lets go of what waits at the gate.
func (n *network) Close() error {
	n.mu.Lock()
	select {
	case <-n.closed:
	default:
		close(n.closed)
	}
	n.mu.Unlock()
	return n.Listener.Close()
}

// reset breaks the connection from that remote address.
func (n *network) reset(remote string) {
	n.mu.Lock()
	c := n.conns[remote]
	n.mu.Unlock()
	if c != nil {
		_ = c.Close() // that it is closed is all that counts
	}
}

func (n *network) isolate() {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.gate:
		n.gate = make(chan struct{})
	default: // it is closed to all already
	}
}

func (n *network) rejoin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.gate:
	default:
		close(n.gate)
	}
}

func (n *network) way() chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gate
}

func (n *network) isolated() bool {
	select {
	case <-n.way():
		return false
	default:
		return true
	}
}

// pass waits at the gate.
func (n *network) pass(ctx context.Context) error {
	select {
	case <-n.way():
		return nil
	case <-n.closed:
		return errRefused
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
