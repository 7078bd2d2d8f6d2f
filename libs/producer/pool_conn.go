package producer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

var (
	errReleased = errors.New("connection was released to its pool: call Get for another one")
	errLost     = status.Error(codes.Unavailable, "the connection was lost: release it, and call Get for another one")
)

// PooledConn is a connection on loan from a ConnectionPool, perhaps shared with
// others. Generated clients take it as their grpc.ClientConnInterface. It is
// safe for concurrent use. Give it back with Release, after the last call on it
// has ended.
//
// A connection that breaks stays broken: calls on it fail with code Unavailable
// until it is released. gRPC would connect again, beside the pool's count.
type PooledConn struct {
	pool     *ConnectionPool
	conn     *sharedConn
	weight   int
	released atomic.Bool
}

var _ grpc.ClientConnInterface = (*PooledConn)(nil)

// Invoke makes a unary call.
func (c *PooledConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if err := c.problem(); err != nil {
		return err
	}
	return c.conn.client.Invoke(ctx, method, args, reply, opts...)
}

// NewStream begins a streaming call.
func (c *PooledConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := c.problem(); err != nil {
		return nil, err
	}
	return c.conn.client.NewStream(ctx, desc, method, opts...)
}

func (c *PooledConn) problem() error {
	if c.released.Load() {
		return errReleased
	}
	switch c.conn.client.GetState() {
	case connectivity.Ready, connectivity.Shutdown: // which gRPC answers with Canceled
		return nil
	default:
		return errLost
	}
}

// Release gives the connection back. It must be called once for every Get;
// further calls do nothing. Streams that are still open on it go on, unless the
// connection is retired and nobody else uses it.
func (c *PooledConn) Release() {
	if c.released.Swap(true) {
		return
	}
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.pool.releaseLocked(c.conn, c.weight)
}

// MarkUnhealthy retires the connection: it is handed out no more, and closed
// when its last user releases it. Call it, before Release, for what gRPC cannot
// see, such as an agent that takes requests and does not answer.
func (c *PooledConn) MarkUnhealthy() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.pool.retireLocked(c.conn)
}

func (p *ConnectionPool) releaseLocked(c *sharedConn, weight int) {
	c.load -= weight
	if c.load > 0 || c.gone != nil {
		return
	}
	if c.retired || c.client.GetState() != connectivity.Ready {
		p.removeLocked(c)
		p.dropIfEmptyLocked(c.agent)
		return
	}
	c.idleAt = time.Now()
	p.planSweepLocked(c.idleAt.Add(p.cfg.IdleTimeout))
}
