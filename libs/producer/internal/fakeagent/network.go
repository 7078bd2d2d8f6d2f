package fakeagent

import (
	"net"
	"sync"
)

// connection is a client's end of a connection to an agent.
type connection struct {
	net.Conn
	once   sync.Once
	dead   chan struct{} // closed when nothing gets through any more
	closed chan struct{}
}

// Read loses what comes in after the connection died, its end included.
func (c *connection) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		select {
		case <-c.dead:
		default:
			return n, err
		}
		if err != nil {
			<-c.closed
			return 0, net.ErrClosed
		}
	}
}

// Write loses what goes out after the connection died.
func (c *connection) Write(p []byte) (int, error) {
	select {
	case <-c.dead:
		return len(p), nil
	default:
		return c.Conn.Write(p)
	}
}

func (c *connection) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// connected notes a connection to an agent.
func (c *Cluster) connected(agent string, conn net.Conn) net.Conn {
	own := &connection{Conn: conn, dead: make(chan struct{}), closed: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.connections[agent] = append(c.mu.connections[agent], own)
	return own
}

// Disconnect has the present connections to an agent carry nothing any more,
// which neither end is told: the network lost them. New ones work.
func (c *Cluster) Disconnect(agent string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.mu.connections[agent] {
		close(conn.dead)
	}
	delete(c.mu.connections, agent)
}
