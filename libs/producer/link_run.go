package producer

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/libs/producer/internal/breaker"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// idleTime is how long a link keeps a connection that it does not use.
const idleTime = time.Minute

var (
	errIdle        = errors.New("connection was idle")
	errStreamEnded = &reason.Error{Code: codes.Unavailable, Message: "the agent ended the stream"}
	errNoAnswer    = &reason.Error{Code: codes.Unavailable, Message: "no answer within the request timeout"}
	errDialTimeout = &reason.Error{Code: codes.Unavailable, Message: "no connection within the dial timeout"}
)

// run opens one stream after the other while there is work. The first attempt
// after a stream that worked is made at once, further ones after a backoff.
func (l *link) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; { // then running stays set: nothing is to start any more
		if !l.hasWork() && l.finished() {
			l.p.links.drop(l)
			return
		}
		if !l.allowed(ctx) {
			continue
		}
		worked, err := l.session(ctx)
		if worked {
			failures = 0
		}
		if ctx.Err() != nil {
			return
		}
		l.agent.ended(&l.p.cfg, err)
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

// allowed asks the breaker, and waits if it says no. While it is open, the
// partitions that wait look for other owners, about once per second.
func (l *link) allowed(ctx context.Context) bool {
	state, wait, ok := l.agent.breaker.Allow()
	l.probing = ok && state == breaker.HalfOpen
	if l.probing {
		l.solo = max(l.solo, 1)
		l.agent.observeBreaker(&l.p.cfg, state, nil)
	}
	if ok {
		return true
	}
	retry := &l.p.cfg.retry
	if state == breaker.HalfOpen { // another link's probe will tell soon
		wait = min(wait, retry.InitialBackoff)
	} else {
		l.resolve()
	}
	sleep(ctx, min(wait, retry.jittered(maxRoutingBackoff)))
	return false
}

// session runs one stream to its end. It tells whether anything was answered,
// and nil for an end that was no failure.
func (l *link) session(ctx context.Context) (worked bool, err error) {
	defer func() { l.hangUp(err) }()
	began := time.Now()
	s, err := l.open(ctx)
	if ctx.Err() == nil {
		l.observeConnect(began, err)
	}
	if err != nil {
		if e := reason.From(err); isCredentials(e) {
			l.refuseAll(e)
		}
		return false, err
	}
	l.setLastError(nil)
	l.setStream(s)
	err = l.use(ctx, s)
	l.setStream(nil)
	s.handBack(reason.From(err))
	if s.worked {
		l.silences = 0
	}
	if errors.Is(err, errSilent) {
		l.silences = min(l.silences+1, maxDoublings)
	}
	if errors.Is(err, errIdle) {
		return s.worked, nil
	}
	return s.worked, err
}

// use runs a stream that is open, and returns why it ended.
func (l *link) use(ctx context.Context, s *stream) error {
	l.lost.reached(l.p.cfg.log, l.agent.address)
	opened := time.Now()
	l.gauges.open.Add(1)
	err := s.run()
	l.gauges.open.Add(-1)
	if errors.Is(err, errIdle) || ctx.Err() != nil {
		l.observeDisconnect(opened, nil)
	} else {
		l.observeDisconnect(opened, err)
	}
	return err
}

// open connects, if need be, and starts a stream.
func (l *link) open(ctx context.Context) (*stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	limit := time.AfterFunc(l.p.cfg.dialTimeout, func() { cancel(errDialTimeout) })
	connected := l.resolveMeanwhile()
	calls, err := l.call(ctx)
	connected()
	if !limit.Stop() {
		return nil, errDialTimeout
	}
	if err != nil {
		cancel(err)
		return nil, err
	}
	return newStream(ctx, l, calls, cancel), nil
}

// resolveMeanwhile asks for the owners of the partitions that wait, about once
// per second, until the function that it returns is called. An agent that
// stands still, or a network that carries nothing, refuses no connection: the
// time that one may take is far longer than another agent takes to be the owner.
func (l *link) resolveMeanwhile() (end func()) {
	done := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			timer := time.NewTimer(l.p.cfg.retry.jittered(maxRoutingBackoff))
			select {
			case <-timer.C:
				l.resolve()
			case <-done:
				timer.Stop()
				return
			}
		}
	})
	return func() {
		close(done)
		asking.Wait()
	}
}

func (l *link) call(ctx context.Context) (grpc.ClientStream, error) {
	conns := l.p.conns
	conn, err := conns.get(ctx, want{address: l.agent.address, weight: conns.cfg.StreamsPerConnection, patient: true})
	if err != nil {
		return nil, err
	}
	l.conn = conn
	return streamhousev1.NewProducerServiceClient(conn).ProduceStream(ctx)
}

// hangUp gives the connection back, for good if the stream on it ended by an
// error that could be the connection's, such as silence, which nobody else would
// notice for minutes; or if it was idle: then so was the connection.
func (l *link) hangUp(err error) {
	if l.conn == nil {
		return
	}
	if err == nil || isBroken(err) {
		l.conn.MarkUnhealthy()
	}
	l.conn.Release()
	l.conn = nil
}

// report notes a failure, and asks for the owners of the partitions that wait:
// perhaps they are not here any more.
func (l *link) report(err error) {
	l.setLastError(reason.From(err))
	l.lost.lost(l.p.cfg.log, l.agent.address, err)
	l.resolve()
}

// resolve asks for the owners of the partitions that wait.
func (l *link) resolve() {
	asked := map[*topic]bool{}
	for _, pt := range l.popAll() {
		pt.requeue(l)
		pt.topic.unreachable(pt.index)
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
