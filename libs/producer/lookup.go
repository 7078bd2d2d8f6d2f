package producer

import (
	"context"
	"fmt"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// topicOf returns the topic that name stands for now. It is asked for every
// record, and nearly always the answer is the same as before.
func (p *Producer) topicOf(ctx context.Context, name string) (*topic, error) {
	if t := p.topics.last.Load(); t != nil && t.name == name && !t.gone.Load() {
		return t, nil
	}
	if name == "" {
		return nil, ErrNoTopic
	}
	if t := p.topics.find(name); t != nil {
		p.topics.last.Store(t)
		return t, nil
	}
	return p.lookUp(ctx, name)
}

// lookup is one search for a topic, for everybody who waits for it. It tries
// until it has an answer or nobody waits any more.
type lookup struct {
	done    chan struct{}
	topic   *topic // once done, unless err
	err     error
	cancel  context.CancelFunc
	waiters int   // guarded by topics.mu
	last    error // of the latest try, guarded by topics.mu
}

// lookUp waits for a topic's description, as long as ctx and the delivery
// timeout allow.
func (p *Producer) lookUp(ctx context.Context, name string) (*topic, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.deliveryTimeout, ErrDeliveryTimeout)
	defer cancel()
	t, l, err := p.joinLookup(name)
	if l == nil {
		return t, err
	}
	select {
	case <-l.done:
		return l.topic, l.err
	case <-ctx.Done():
		return nil, p.leaveLookup(ctx, name, l)
	}
}

// joinLookup returns the search to wait for, or the topic if it was found just
// now.
func (p *Producer) joinLookup(name string) (*topic, *lookup, error) {
	p.topics.mu.Lock()
	defer p.topics.mu.Unlock()
	if p.topics.mu.closed {
		return nil, nil, ErrClosed
	}
	if t := p.topics.mu.byName[name]; t != nil {
		return t, nil, nil
	}
	l := p.topics.mu.lookups[name]
	if l == nil {
		ctx, cancel := context.WithCancel(p.ctx)
		l = &lookup{done: make(chan struct{}), cancel: cancel}
		p.topics.mu.lookups[name] = l
		p.wg.Go(func() { p.runLookup(ctx, name, l) })
	}
	l.waiters++
	return nil, l, nil
}

// leaveLookup gives up waiting. The last to leave ends the search.
func (p *Producer) leaveLookup(ctx context.Context, name string, l *lookup) error {
	p.topics.mu.Lock()
	defer p.topics.mu.Unlock()
	l.waiters--
	if l.waiters == 0 {
		l.cancel()
		if p.topics.mu.lookups[name] == l {
			delete(p.topics.mu.lookups, name)
		}
	}
	if l.last == nil {
		return fmt.Errorf("look up topic: %w", context.Cause(ctx))
	}
	return fmt.Errorf("look up topic: %w: last error: %w", context.Cause(ctx), l.last)
}

func (p *Producer) runLookup(ctx context.Context, name string, l *lookup) {
	defer l.cancel()
	var failed logGate
	for try := 0; ; try++ {
		d, err := p.meta.describe(ctx, name)
		switch {
		case err == nil:
			p.topics.prune()
			t := newTopic(p, name, d)
			l.topic, l.err = t, p.topics.add(t, l)
			if l.err != nil {
				t.detach()
			}
		case err.Recovery() == reason.Fail:
			l.err = fmt.Errorf("look up topic: %w", err)
			p.topics.drop(name, l)
		default:
			p.topics.remark(l, err)
			p.logLookup(&failed, name, err)
			if sleep(ctx, p.cfg.retry.routing(try)) {
				continue
			}
			l.err = ErrClosed // or nobody waits, and nobody reads it
			p.topics.drop(name, l)
		}
		close(l.done)
		return
	}
}
