package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
)

var (
	// ErrPoolClosed is returned by a pool's Get after CloseAll.
	ErrPoolClosed = errors.New("connection pool is closed")
	// ErrAgentClosed is returned by a Get that waited for a connection to an
	// agent when CloseAgent was called.
	ErrAgentClosed = errors.New("connections to the agent were closed")
)

// PoolConfig says how a ConnectionPool connects. The zero value means the
// defaults.
type PoolConfig struct {
	// MaxConnections limits the connections to one agent. It counts those that
	// are ready, retired and still in use, or being closed, and the one that is
	// being made, until CloseAgent gives it up. Default 10.
	MaxConnections int
	// StreamsPerConnection is how many share a connection before another one
	// is made. At MaxConnections they share all the same. Default 100, the
	// streams that HTTP/2 recommends a server to allow (RFC 9113, 6.5.2).
	StreamsPerConnection int
	// IdleTimeout is how long a connection stays open that nobody uses.
	// Default 60 s.
	IdleTimeout time.Duration
	// DialTimeout limits how long one connection may take to be ready.
	// Default 10 s.
	DialTimeout time.Duration
	// DialOptions are those of every connection. Without transport credentials
	// among them, connections are plaintext.
	DialOptions []grpc.DialOption
}

func (c PoolConfig) withDefaults() PoolConfig {
	if c.MaxConnections == 0 {
		c.MaxConnections = 10
	}
	if c.StreamsPerConnection == 0 {
		c.StreamsPerConnection = 100
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = time.Minute
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 10 * time.Second
	}
	return c
}

func (c PoolConfig) validate() error {
	var wrong []error
	rule := func(ok bool, name string, v any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf("PoolConfig.%s is %v: it must be positive, or 0 for the default", name, v))
		}
	}
	rule(c.MaxConnections > 0, "MaxConnections", c.MaxConnections)
	rule(c.StreamsPerConnection > 0, "StreamsPerConnection", c.StreamsPerConnection)
	rule(c.IdleTimeout > 0, "IdleTimeout", c.IdleTimeout)
	rule(c.DialTimeout > 0, "DialTimeout", c.DialTimeout)
	return errors.Join(wrong...)
}

// ConnectionPool keeps gRPC connections to agents, by address. A Producer has
// one of its own; make another with NewConnectionPool for calls of your own,
// and end it with CloseAll. It is safe for concurrent use.
//
//	conn, err := pool.Get(ctx, "10.0.3.7:9092")
//	if err != nil {
//		return err
//	}
//	defer conn.Release()
//	topics := streamhousev1.NewTopicServiceClient(conn)
//
// Connections are made when they are asked for: one, however many ask at once,
// and another one only when all that there are have StreamsPerConnection users.
// Such growth makes nobody wait. Of several, the one with the fewest users is
// handed out.
//
// A connection is healthy while gRPC says that it is ready. Get hands out
// healthy ones only. One that broke, or was marked unhealthy, is retired: it is
// replaced when the next one is asked for, and closed when its last user
// releases it. Retired connections count: where they take up all of
// MaxConnections, one of them is closed under its users to make room.
type ConnectionPool struct {
	cfg    PoolConfig
	ctx    context.Context // of dials; ends with CloseAll
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // dials, closing, and the sweep that is planned

	mu struct {
		sync.Mutex
		closed  bool
		agents  map[string]*agentConns
		sweep   *time.Timer // nil while none is planned
		sweepAt time.Time

		dials, failedDials uint64
	}
}

// NewConnectionPool makes a pool. It connects to nobody yet.
func NewConnectionPool(cfg PoolConfig) (*ConnectionPool, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("new connection pool: %w", err)
	}
	p := &ConnectionPool{cfg: cfg}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.mu.agents = map[string]*agentConns{}
	return p, nil
}

// Get returns a healthy connection to the agent at address, which is any gRPC
// name, and connects if there is none. It waits for that as long as ctx and the
// dial timeout allow; ctx has no influence on the connection afterwards. The
// error wraps gRPC's, the context's cause, ErrAgentClosed or ErrPoolClosed.
//
// After an attempt that failed, Get returns its error for 50 ms without trying
// again. Wait longer between two calls, and longer each time.
func (p *ConnectionPool) Get(ctx context.Context, address string) (*PooledConn, error) {
	return p.get(ctx, want{address: address, weight: 1})
}

func (p *ConnectionPool) get(ctx context.Context, w want) (*PooledConn, error) {
	for {
		conn, dialing, err := p.choose(w)
		if dialing == nil {
			if err != nil {
				return nil, fmt.Errorf("connect to %q: %w", w.address, err)
			}
			return conn, nil
		}
		select {
		case <-dialing.done:
			w.waited = dialing
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to %q: %w", w.address, context.Cause(ctx))
		}
	}
}

// MarkUnhealthy retires all connections to an agent, such as when one of them
// does not answer any more and the others are not to be trusted either. Use
// PooledConn.MarkUnhealthy for a single one.
func (p *ConnectionPool) MarkUnhealthy(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.mu.agents[address]; a != nil {
		p.retireAllLocked(a)
	}
}

// CloseAgent ends the connections to an agent. Those that nobody uses are
// closed at once, the others when their last user releases them, so that calls
// under way can end well; no Get returns them any more. A Get that waits for a
// connection fails with ErrAgentClosed. A later Get connects anew.
func (p *ConnectionPool) CloseAgent(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.mu.agents[address]; a != nil {
		p.endDialLocked(a, ErrAgentClosed)
		p.retireAllLocked(a)
	}
}

// CloseAll ends the pool. All connections are closed at once, also those in
// use: calls on them fail with code Canceled. Get returns ErrPoolClosed from
// then on. CloseAll returns after the last goroutine; calling it again does
// nothing.
func (p *ConnectionPool) CloseAll() {
	p.cancel(ErrPoolClosed)
	p.endAll()
	p.wg.Wait()
}

func (p *ConnectionPool) endAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.closed = true
	p.stopSweepLocked()
	for _, a := range p.mu.agents {
		p.endDialLocked(a, ErrPoolClosed)
		for len(a.conns) > 0 {
			p.removeLocked(a.conns[0])
		}
	}
	clear(p.mu.agents)
}
