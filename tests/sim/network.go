package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"google.golang.org/grpc/test/bufconn"
)

// entrance is the address that every client knows: it leads to the agents in
// turn. All addresses are numbers, so that nobody asks a name server.
const entrance = "10.0.0.0:7070"

// bufferBytes is what a connection holds of what was not read yet.
const bufferBytes = 1 << 12

// network is a network of memory, whose links can be cut.
type network struct {
	mu    sync.Mutex
	hosts map[string]*host // by address
	order []string         // addresses behind the entrance
	turns int
	cuts  map[pair]*cut
}

// pair is the two ends of a link, in the order of their names.
type pair struct{ a, b string }

func newPair(a, b string) pair { return pair{min(a, b), max(a, b)} }

// cut is a link that does not work: it refuses, or it is silent.
type cut struct {
	silent valve
	refuse bool
}

// host is what listens at an address.
type host struct {
	address  string
	listener *bufconn.Listener
	wire     *valve // everything to and from the host
	conns    map[*conn]bool
	gone     bool
}

func newNetwork() *network {
	return &network{hosts: map[string]*host{}, cuts: map[pair]*cut{}}
}

// join makes a host reachable, in place of one that had its address: who is still
// connected to that one learns of it.
func (n *network) join(h *host) {
	if old, _ := n.route("", h.address); old != nil {
		n.leave(old)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[h.address] = h
	if !slices.Contains(n.order, h.address) {
		n.order = append(n.order, h.address)
	}
}

// dialer connects from a client, or from the agent at an address.
func (n *network) dialer(from string, own *valve) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		c, err := n.dial(ctx, from, own, address)
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", address, err)
		}
		return c, nil
	}
}

var errRefused = errors.New("connection refused")

func (n *network) dial(ctx context.Context, from string, own *valve, address string) (net.Conn, error) {
	h, silent := n.route(from, address)
	if h == nil {
		return nil, errRefused
	}
	gates := []*valve{silent, h.wire}
	if own != nil {
		gates = append(gates, own)
	}
	for _, g := range gates {
		g.pass(ctx.Done())
	}
	inner, err := h.listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	made := &conn{Conn: inner, gates: gates, network: n, host: h, from: from, closed: make(chan struct{})}
	if !n.keep(made) {
		_ = inner.Close() // nobody holds it yet
		return nil, errRefused
	}
	return made, nil
}

// route finds who has an address now, and what may silence the link to it; nil
// where the link is refused.
func (n *network) route(from, address string) (h *host, silent *valve) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if address == entrance && len(n.order) > 0 {
		n.turns++
		address = n.order[n.turns%len(n.order)]
	}
	h = n.hosts[address]
	if h == nil || h.gone {
		return nil, nil
	}
	link := n.linkLocked(from, address)
	if link.refuse {
		return nil, nil
	}
	return h, &link.silent
}

func (n *network) linkLocked(a, b string) *cut {
	c := n.cuts[newPair(a, b)]
	if c == nil {
		c = &cut{}
		n.cuts[newPair(a, b)] = c
	}
	return c
}

func (n *network) keep(c *conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.host.gone || n.linkLocked(c.from, c.host.address).refuse {
		return false
	}
	c.host.conns[c] = true
	return true
}

// cut breaks a link until it is healed: it falls silent, or resets what there is
// and refuses what comes.
func (n *network) cut(a, b string, silent bool) {
	n.mu.Lock()
	c := n.linkLocked(a, b)
	var broken []*conn
	if silent {
		c.silent.close()
	} else {
		c.refuse = true
		for _, end := range []string{a, b} {
			if h := n.hosts[end]; h != nil {
				for made := range h.conns {
					if newPair(made.from, end) == newPair(a, b) {
						broken = append(broken, made)
					}
				}
			}
		}
	}
	n.mu.Unlock()
	closeAll(broken)
}

func (n *network) heal(a, b string) {
	n.mu.Lock()
	c := n.linkLocked(a, b)
	c.refuse = false
	n.mu.Unlock()
	c.silent.open()
}

func (n *network) healAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.cuts {
		c.refuse = false
		c.silent.open()
	}
}

// leave takes a host off the network: its connections break.
func (n *network) leave(h *host) {
	n.mu.Lock()
	h.gone = true
	h.wire.open()
	if n.hosts[h.address] == h {
		n.order = slices.DeleteFunc(n.order, func(a string) bool { return a == h.address })
	}
	var broken []*conn
	for _, at := range n.hosts {
		for c := range at.conns {
			if at == h || c.from == h.address {
				broken = append(broken, c)
			}
		}
	}
	n.mu.Unlock()
	closeAll(broken)
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		_ = c.Close() // that it is closed is all that counts
	}
}

// conn is the dialing side of a connection. Nothing passes while a gate on its
// way is shut.
type conn struct {
	net.Conn
	gates   []*valve
	network *network
	host    *host
	from    string
	once    sync.Once
	closed  chan struct{}
}

func (c *conn) pass() {
	for _, g := range c.gates {
		g.pass(c.closed)
	}
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.pass()
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	c.pass()
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.network.mu.Lock()
		defer c.network.mu.Unlock()
		delete(c.host.conns, c)
	})
	return c.Conn.Close()
}
