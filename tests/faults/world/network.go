package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// entrance is the address that every client knows: it leads to the newest
// agent. All addresses are numbers, so that nobody asks a name server.
const entrance = "127.0.0.1:7000"

// network is a network of memory.
type network struct {
	mu     sync.Mutex
	hosts  map[string]*host
	newest string
}

// host is what listens at an address.
type host struct {
	listener *bufconn.Listener

	mu    sync.Mutex
	conns []net.Conn
	gone  bool
}

func newNetwork() *network { return &network{hosts: map[string]*host{}} }

// join makes h reachable at address, and through the entrance.
func (n *network) join(address string, h *host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[address] = h
	n.newest = address
}

func (n *network) find(address string) *host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if address == entrance {
		address = n.newest
	}
	return n.hosts[address]
}

var errRefused = errors.New("connection refused")

func (n *network) dialer() grpc.DialOption { return grpc.WithContextDialer(n.dial) }

func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	h := n.find(address)
	if h == nil {
		return nil, fmt.Errorf("dial %s: %w", address, errRefused)
	}
	conn, err := h.listener.DialContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	if !h.keep(conn) {
		_ = conn.Close() // nobody holds it yet
		return nil, fmt.Errorf("dial %s: %w", address, errRefused)
	}
	return conn, nil
}

// keep notes a connection, or tells that the host is gone.
func (h *host) keep(conn net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gone {
		h.conns = append(h.conns, conn)
	}
	return !h.gone
}

// cut breaks all connections and lets none be made any more.
func (h *host) cut() {
	h.mu.Lock()
	conns := h.conns
	h.conns, h.gone = nil, true
	h.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // that it is closed is all that counts
	}
}
