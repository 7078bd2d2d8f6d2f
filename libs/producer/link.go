package producer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/libs/producer/internal/fifo"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// link sends the batches of some partitions to one agent, over one connection
// and one stream at a time. Its goroutine runs while there is something to
// send or in flight, and for a while after.
type link struct {
	p       *Producer
	address string // as the agent advertises it; empty stands for the target
	slot    int    // which of WithConnections

	wake chan struct{} // capacity 1: look at the run queue again
	mu   struct {
		sync.Mutex
		running bool
		runq    fifo.Queue[*partition]
		lastErr error // why there is no stream; nil while there is one
	}

	// conn and solo belong to the goroutine. Solo is how many batches are
	// still to be sent one at a time, to find the one that ends streams.
	conn *grpc.ClientConn
	solo int
}

// idleTime is how long a link keeps a connection that it does not use.
const idleTime = time.Minute

var (
	errIdle        = errors.New("connection was idle")
	errStreamEnded = &reason.Error{Code: codes.Unavailable, Message: "the agent ended the stream"}
	errNoAnswer    = &reason.Error{Code: codes.Unavailable, Message: "no answer within the request timeout"}
	errDialTimeout = &reason.Error{Code: codes.Unavailable, Message: "no connection within the dial timeout"}
)

// links are a producer's, by address and slot.
type links struct {
	mu    sync.Mutex
	byKey map[linkKey]*link
}

type linkKey struct {
	address string
	slot    int
}

// link returns the link for a partition whose owner is at address.
func (p *Producer) link(address string, partition uint32) *link {
	key := linkKey{address: address, slot: int(partition) % p.cfg.connections}
	p.links.mu.Lock()
	defer p.links.mu.Unlock()
	l := p.links.byKey[key]
	if l == nil {
		l = &link{p: p, address: address, slot: key.slot, wake: make(chan struct{}, 1)}
		p.links.byKey[key] = l
	}
	return l
}

// push puts a partition into the run queue. It never blocks.
func (l *link) push(pt *partition) {
	l.mu.Lock()
	l.mu.runq.Push(pt)
	start := !l.mu.running
	l.mu.running = true
	l.mu.Unlock()
	if start {
		l.p.wg.Go(func() { l.run(l.p.ctx) })
		return
	}
	l.nudge()
}

func (l *link) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// pop takes the next partition in turn, or nil.
func (l *link) pop() *partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.runq.Len() == 0 {
		return nil
	}
	return l.mu.runq.Pop()
}

// popAll takes all partitions that wait.
func (l *link) popAll() []*partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*partition, 0, l.mu.runq.Len())
	for l.mu.runq.Len() > 0 {
		all = append(all, l.mu.runq.Pop())
	}
	return all
}

// hasWork tells whether anything is to be sent here. Partitions that have moved
// to another agent since they queued up are dropped: nobody connects to a dead
// agent for their sake.
func (l *link) hasWork() bool {
	for _, pt := range l.popAll() {
		pt.requeue(l)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.runq.Len() > 0
}

func (l *link) lastError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.lastErr
}

func (l *link) setLastError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.lastErr = err
}

// finished ends the goroutine if there is nothing to do. What is pushed from
// then on starts another one.
func (l *link) finished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.running = l.mu.runq.Len() > 0
	return !l.mu.running
}

// run opens one stream after the other while there is work. The first attempt
// after a stream that worked is made at once, further ones after a backoff.
func (l *link) run(ctx context.Context) {
	for failures := 0; ; {
		if !l.hasWork() {
			l.hangUp() // before another goroutine may take over
			if l.finished() {
				return
			}
		}
		worked, err := l.session(ctx)
		if worked {
			failures = 0
		}
		if ctx.Err() != nil {
			l.hangUp()
			return // running stays set: nothing is to start any more
		}
		if err == nil {
			continue
		}
		l.report(err)
		if failures > 0 {
			sleep(ctx, l.p.cfg.retry.routing(failures-1))
		}
		failures++
	}
}

// session runs one stream to its end. It tells whether anything was answered,
// and nil for an end that was no failure.
func (l *link) session(ctx context.Context) (worked bool, err error) {
	s, err := l.open(ctx)
	if err != nil {
		l.hangUp()
		if e := reason.From(err); isCredentials(e) {
			l.refuseAll(e)
		}
		return false, err
	}
	l.setLastError(nil)
	err = s.run()
	s.handBack(reason.From(err))
	if errors.Is(err, errIdle) {
		l.hangUp()
		return s.worked, nil
	}
	return s.worked, err
}

// open connects, if need be, and starts a stream. A connection that failed is
// never used again, so that the backoff here is the only one.
func (l *link) open(ctx context.Context) (*stream, error) {
	if l.conn == nil {
		target := l.address
		if target == "" {
			target = l.p.target
		}
		conn, err := l.p.cfg.dial(target)
		if err != nil {
			return nil, err
		}
		l.conn = conn
	}
	ctx, cancel := context.WithCancelCause(ctx)
	limit := time.AfterFunc(l.p.cfg.dialTimeout, func() { cancel(errDialTimeout) })
	calls, err := streamhousev1.NewProducerServiceClient(l.conn).ProduceStream(ctx)
	if !limit.Stop() {
		return nil, errDialTimeout
	}
	if err != nil {
		cancel(err)
		return nil, err
	}
	return newStream(ctx, l, calls, cancel), nil
}

func (l *link) hangUp() {
	if l.conn != nil {
		_ = l.conn.Close() // it only ever says that it is closed already
		l.conn = nil
	}
}

// report notes a failure, and asks for the owners of the partitions that wait:
// perhaps they are not here any more.
func (l *link) report(err error) {
	l.setLastError(reason.From(err))
	l.p.cfg.log.Warn("stream to agent lost", slog.String("agent", l.address), slog.Any("error", err))
	asked := map[*topic]bool{}
	for _, pt := range l.popAll() {
		pt.requeue(l)
		if !asked[pt.topic] {
			asked[pt.topic] = true
			pt.topic.refresh()
		}
	}
}

// refuseAll fails what waits for the link.
func (l *link) refuseAll(err *reason.Error) {
	for _, pt := range l.popAll() {
		pt.unqueue(l)
		pt.refuseAll(err)
	}
}

// isCredentials tells whether no batch at all will be taken until somebody
// mends the configuration.
func isCredentials(err *reason.Error) bool {
	switch err.Code {
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		return err.Reason == ""
	default:
		return false
	}
}
