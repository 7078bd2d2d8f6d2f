package producer

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// minRedial keeps callers that do not wait from trying a dead agent as fast as
// it refuses them. It is below the shortest wait of a producer between tries.
const minRedial = 50 * time.Millisecond

// dial is one attempt to connect, for everybody who waits for it.
type dial struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
	// err is why there is no connection, and failedAt since when. The mutex
	// guards them until done.
	err      error
	failedAt time.Time
}

func (d *dial) failed() bool { return d.err != nil }

func (p *ConnectionPool) beginDialLocked(a *agentConns) *dial {
	ctx, cancel := context.WithCancelCause(p.ctx)
	d := &dial{cancel: cancel, done: make(chan struct{})}
	a.dial = d
	var leaving []<-chan struct{}
	if len(a.conns)+len(a.leaving) >= p.cfg.MaxConnections {
		leaving = a.leaving
	}
	p.mu.dials++
	p.wg.Go(func() {
		defer cancel(nil)
		for _, gone := range leaving {
			<-gone
		}
		p.runDial(ctx, a, d)
		close(d.done)
		p.left(a)
	})
	return d
}

// runDial connects. What it has made is thrown away if it is not wanted any
// more.
func (p *ConnectionPool) runDial(ctx context.Context, a *agentConns, d *dial) {
	conn, err := p.connect(ctx, a.address)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case a.dial != d: // endDialLocked has said why
		if err == nil {
			p.removeLocked(&sharedConn{agent: a, client: conn})
		}
	case err != nil:
		p.mu.failedDials++
		d.err, d.failedAt = err, now
		p.planSweepLocked(now.Add(minRedial))
	default:
		a.dial = nil
		a.conns = append(a.conns, &sharedConn{agent: a, client: conn, idleAt: now})
		p.planSweepLocked(now.Add(p.cfg.IdleTimeout)) // perhaps nobody waits any more
	}
}

// endDialLocked gives up the dial under way.
func (p *ConnectionPool) endDialLocked(a *agentConns, why error) {
	if d := a.dial; d != nil && !d.failed() {
		d.err = why
		d.cancel(why)
		a.leaving = append(a.leaving, d.done)
	}
	a.dial = nil
}

// connect makes a connection and waits until it is ready. It is closed at the
// first failure: gRPC would try for ever, and when to try again is for those to
// decide who ask for connections.
func (p *ConnectionPool) connect(ctx context.Context, address string) (*grpc.ClientConn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.DialTimeout, errDialTimeout)
	defer cancel()
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), // unless others follow
		grpc.WithIdleTimeout(0),
	}
	conn, err := grpc.NewClient(address, append(opts, p.cfg.DialOptions...)...)
	if err != nil {
		return nil, err
	}
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if state == connectivity.TransientFailure {
			err = whyNot(ctx, conn)
		} else if !conn.WaitForStateChange(ctx, state) {
			err = context.Cause(ctx)
		}
		if err != nil {
			_ = conn.Close() // it only ever says that it is closed already
			return nil, err
		}
	}
	return conn, nil
}

// whyNot asks gRPC what is wrong with a connection, which it tells nobody but
// those who make a call: a call on a connection that failed fails at once with
// the reason, and sends nothing. It returns nil if the connection works by now.
func whyNot(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(false))
	if err == nil || conn.GetState() == connectivity.Ready {
		return nil
	}
	return reason.From(err)
}
