package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/streamhouse/streamhouse/libs/producer/internal/clock"
	"github.com/streamhouse/streamhouse/libs/producer/internal/quota"
	"github.com/streamhouse/streamhouse/proto/batch"
)

// Producer sends records. Make it with New, share it, and Close it: it is safe
// for concurrent use, and one is enough for a process.
type Producer struct {
	cfg config

	// ctx ends, with ErrClosed, when Close has resolved everything. All
	// goroutines run under it, and wg waits for them.
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	clock   clock.Clock
	quota   *quota.Quota
	pool    batchPool
	waiters sync.Pool // of *waiter

	conns  *ConnectionPool
	meta   *metadata
	topics topics
	links  links

	fresh   atomic.Uint64 // batches sent the first time
	retries *budget       // nil for none
	hedges  *budget
	latency latency

	done     *completions
	failures failures
	closing  closing
}

// New makes a producer for the agents at target, which is any gRPC name, such
// as "localhost:7070" or "dns:///agents.internal:9092", or several of them with
// commas between. They are where it asks for topics: the one that answered last
// first, and when that cannot be reached, or says nothing for a second, the
// others in turn, and then some of the owners that it was told of. Records go to
// the owners of partitions, wherever those are.
//
// New checks the options and connects to nobody yet: agents need not be up, but
// the first record for a topic waits until one of them is. The producer lives
// until Close; ctx is only used for the values that it carries.
func New(ctx context.Context, target string, opts ...Option) (*Producer, error) {
	p := &Producer{cfg: defaultConfig()}
	for _, opt := range opts {
		opt(&p.cfg)
	}
	if err := p.cfg.validate(); err != nil {
		return nil, fmt.Errorf("new producer: %w", err)
	}
	if target == "" {
		return nil, errors.New("new producer: no target: name an agent, such as localhost:7070")
	}
	seeds, err := p.cfg.seeds(target)
	if err != nil {
		return nil, fmt.Errorf("new producer: %w", err)
	}
	conns, err := NewConnectionPool(p.cfg.pool())
	if err != nil {
		return nil, fmt.Errorf("new producer: %w", err)
	}
	p.conns = conns
	p.meta = newMetadata(conns, seeds, p.cfg.dialTimeout)
	p.ctx, p.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	p.quota = quota.New(p.cfg.maxBufferedRecords, p.cfg.maxBufferedBytes)
	p.waiters.New = newWaiter
	p.topics.mu.byName = map[string]*topic{}
	p.topics.mu.lookups = map[string]*lookup{}
	p.topics.names.Store(&map[string]*topic{})
	p.links.agents = map[string]*agent{}
	p.retries = newBudget(&p.fresh, p.cfg.retryRatio, p.cfg.retriesPerSecond)
	p.hedges = newBudget(&p.fresh, p.cfg.hedgeRatio, hedgesPerSecond)
	p.done = newCompletions()
	p.closing.done = make(chan struct{})
	p.wg.Go(func() { p.runDeliverer(p.ctx) })
	p.wg.Go(func() { p.runRefresher(p.ctx) })
	for _, h := range p.cfg.hooks.start {
		h.OnStart(p)
	}
	return p, nil
}

// Send sends a record and waits until it is durable. It returns an *Error, or
// nil. When ctx ends while the record is on its way, the error's outcome is
// Unknown and the record may still be appended; when it has ended already,
// nothing is sent.
//
// A record waits for others to share its batch with (WithLinger): one Send at a
// time is slow by design. Send from many goroutines, use SendAsync, or set the
// linger to 0.
func (p *Producer) Send(ctx context.Context, rec Record) (Ack, error) {
	if ctx.Err() != nil {
		return Ack{}, refusal(p.nameOf(&rec), context.Cause(ctx))
	}
	w := p.waiters.Get().(*waiter)
	if err := p.submit(ctx, &rec, w.callback, false); err != nil {
		p.waiters.Put(w)
		return Ack{}, err
	}
	select {
	case <-w.ready:
		ack, err := w.ack, w.err
		p.waiters.Put(w)
		return ack, err
	case <-ctx.Done():
		return Ack{}, &Error{Topic: p.nameOf(&rec), Partition: -1, Outcome: Unknown, Err: context.Cause(ctx)}
	}
}

// waiter is where Send waits for its callback.
type waiter struct {
	ready    chan struct{} // capacity 1
	ack      Ack
	err      error
	callback func(Ack, error)
}

func newWaiter() any {
	w := &waiter{ready: make(chan struct{}, 1)}
	w.callback = func(ack Ack, err error) {
		w.ack, w.err = ack, err
		w.ready <- struct{}{}
	}
	return w
}

// SendAsync takes a record and returns; done, which may be nil, is called
// exactly once with what became of it. SendAsync returns no error: whatever
// goes wrong reaches done, and Flush and Close report the first failure.
//
// The record's bytes are copied before SendAsync returns. It waits while the
// buffer is full (unless WithFailWhenFull is set), and for the topic's
// description the first time the topic is used; ctx limits those waits and
// nothing else.
//
// Callbacks are called one at a time by a goroutine of the library, those of a
// partition in the order of their offsets. They must not block, nor call Flush
// or Close: while a callback runs, none other does and no room is freed. A
// callback may call SendAsync with WithFailWhenFull.
//
// A record that is refused at once (there is no room and WithFailWhenFull is
// set, it is too large, its topic is unknown, the producer is closed) is the
// exception: SendAsync itself calls done before it returns. So refusals cost no
// memory however many there are, but done may then run beside another
// callback, must not need a lock that the caller holds, and must not send the
// record again at once, for that would be refused inside it without end.
func (p *Producer) SendAsync(ctx context.Context, rec Record, done func(Ack, error)) {
	err := p.submit(ctx, &rec, done, true)
	switch {
	case err == nil:
	case done == nil:
		p.failures.note(err) // nobody else would ever hear of it
	default:
		done(Ack{}, err)
	}
}

func (p *Producer) nameOf(rec *Record) string {
	if rec.Topic == "" {
		return p.cfg.topic
	}
	return rec.Topic
}

// submit takes a record. It returns an *Error as an error if it could not; done
// is then not called.
func (p *Producer) submit(ctx context.Context, rec *Record, done func(Ack, error), async bool) error {
	if len(p.cfg.hooks.record) > 0 {
		return p.submitFollowed(ctx, *rec, done, async)
	}
	return p.place(ctx, rec, done, async)
}

// place puts a record into its partition's batch.
func (p *Producer) place(ctx context.Context, rec *Record, done func(Ack, error), async bool) error {
	name := p.nameOf(rec)
	out := batch.Record{Key: rec.Key, Value: rec.Value, Headers: rec.Headers}
	if rec.Timestamp.IsZero() {
		out.Timestamp = p.clock.UnixMilli()
	} else {
		out.Timestamp = rec.Timestamp.UnixMilli()
	}
	size := batch.RecordSize(&out)
	if size > p.cfg.maxRecord() {
		return refusal(name, tooLarge(size, p.cfg.maxRecord()))
	}
	for {
		t, err := p.topicOf(ctx, name)
		if err != nil {
			return refusal(name, err)
		}
		pt, err := t.choose(rec)
		if err != nil {
			return refusal(name, err)
		}
		if err := pt.reserve(ctx, size); err != nil {
			return pt.refusal(err)
		}
		err = pt.append(&out, size, done, async)
		if err == nil {
			return nil
		}
		pt.share.Release(1, size)
		if !errors.Is(err, errTopicGone) {
			return pt.refusal(err)
		}
	}
}

func tooLarge(size, limit int) error {
	return fmt.Errorf("%w: it takes up to %d bytes and the limit is %d", ErrRecordTooLarge, size, limit)
}
