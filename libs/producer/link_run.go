package producer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"

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
	l.setStream(s)
	err = s.run()
	l.setStream(nil)
	s.handBack(reason.From(err))
	if s.worked {
		l.silences = 0
	}
	l.condemn(err)
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
