package producertest

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// conn is the agent's end of a connection.
type conn struct {
	net.Conn
	network *network
	name    address
	once    sync.Once
	closed  chan struct{}
}

type address string

func (a address) Network() string { return "memory" }
func (a address) String() string  { return string(a) }

func (c *conn) RemoteAddr() net.Addr { return c.name }

// Read holds back what arrives while the agent is isolated.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.pass()
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	c.pass()
	return c.Conn.Write(p)
}

func (c *conn) pass() {
	select {
	case <-c.network.way():
	case <-c.network.closed:
	case <-c.closed:
	}
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.network.mu.Lock()
	delete(c.network.conns, c.name.String())
	c.network.mu.Unlock()
	return c.Conn.Close()
}

// connect makes a connection and returns the client's end.
func (n *network) connect(ctx context.Context) (net.Conn, error) {
	pipe, err := n.DialContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &clientConn{Conn: pipe, network: n, dead: make(chan struct{}), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clients[c] = true
	return c, nil
}

// disconnect makes all connections carry nothing any more.
func (n *network) disconnect() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.clients {
		close(c.dead)
	}
	clear(n.clients)
}

// clientConn is the client's end of a connection. It can die without telling
// either end.
type clientConn struct {
	net.Conn
	network *network
	dead    chan struct{} // nothing gets through any more
	once    sync.Once
	closed  chan struct{} // by the client
}

func (c *clientConn) isDead() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

// Read on a dead connection takes in nothing, not even that the agent closed
// it, until the client closes it.
func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.isDead() {
		return n, err
	}
	<-c.closed
	return 0, net.ErrClosed
}

// Write on a dead connection loses what it is given.
func (c *clientConn) Write(p []byte) (int, error) {
	if c.isDead() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *clientConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.network.mu.Lock()
	delete(c.network.clients, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}
