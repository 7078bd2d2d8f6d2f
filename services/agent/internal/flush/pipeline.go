// Package flush makes batches durable. Batches of all partitions gather in one
// buffer; a buffer becomes one segment in the object store; one journal row
// commits it; then every producer that waits is answered.
//
//	Append -> open buffer -> sealed -> PUTs, in parallel -> commits, in order -> answers
//
// A flush is tried until it succeeds: its data is kept, and when the buffers
// are full, producers are refused with OVERLOADED. It ends without success
// only together with its session. So a batch never overtakes an earlier one,
// and offsets, which the commit assigns (R2), have no gaps.
package flush

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/format"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Options tune a Pipeline.
type Options struct {
	// Bytes is the size at which a buffer is flushed at once.
	Bytes int
	// Age is how long a batch waits at most while other flushes are under way.
	// When none is, it does not wait.
	Age time.Duration
	// MaxPerSecond is a ceiling for flushes of less than Bytes; 0 is none. It
	// bounds what requests cost.
	MaxPerSecond float64
	// Concurrency is how many segments are written at a time. Those that stand
	// and wait for an earlier one's commit do not count; BufferBytes bounds them.
	Concurrency int
	// HedgeBudget is the share of segments of which a second copy may be written
	// when the first takes unusually long, such as 0.05; 0 is none.
	HedgeBudget float64
	// BufferBytes bounds the buffers of everything that is not committed yet.
	BufferBytes int64
	// MaxProducers bounds how many producers' retries are recognised.
	MaxProducers int
	// AckTimeout is after how long a producer is told that its batch's outcome
	// is unknown. The flush goes on.
	AckTimeout time.Duration
	// PutTimeout bounds one try at writing a segment.
	PutTimeout time.Duration
	// StateEvery is how many of a partition's segments pass from one that carries
	// the whole state of its producers to the next: a takeover reads at most that
	// many footers of a partition, and the few that were in flight. 0 stands for 256.
	StateEvery uint32
}

// Recent takes committed segments whose bytes are still in memory.
type Recent interface {
	// Add hands a segment over, whose bytes hold memory of the given size until
	// release was called. That must happen exactly once.
	Add(key string, parts [][]byte, memory int64, release func())
}

// Counters are told what was committed.
type Counters interface {
	Committed(records, batches, bytes, segment uint64)
	// Acknowledged is told of each batch of that many bytes how long it took.
	Acknowledged(after time.Duration, bytes uint64)
}

// Deps are what a Pipeline works with.
type Deps struct {
	Session string
	Objects objstore.Store
	Journal *journal.Writer
	// Format is that of the segments; nil is the oldest.
	Format *format.Agreed
	// Valid returns the refusal to give while the session may not append.
	Valid    func(now time.Time) error
	Recent   Recent
	Counters Counters
	Logger   *slog.Logger
}

// Answerer is told what became of a batch. Answer must not block.
type Answerer interface {
	Answer(request, base uint64, err error)
}

// Batch is an encoded batch whose checksum was verified.
type Batch struct {
	Header batch.Header
	// Parts are its bytes, which Append copies.
	Parts [][]byte
}

// Pipeline is the way from a producer's batch to its commit, for all
// partitions of one session. Append is safe for concurrent use.
type Pipeline struct {
	opts   Options
	deps   Deps
	pool   *pool
	hedger *hedger
	began  time.Time
	wake   chan struct{} // Run has something to do
	landed chan struct{} // commitAll has: a segment stands

	mu        sync.Mutex
	tenures   map[ID]*Tenure
	open      *buffer
	sealed    []*buffer // full, and not yet taken by Run
	flying    []*buffer // taken by Run and not resolved, oldest first
	uploading int       // of these, whose segments do not stand yet
	held      int64     // capacity of all these buffers
	producers int
	numbers   uint64 // how many objects have a number
	rows      uint64 // how many rows of the journal stand
	lastPaced time.Time
	draining  bool
	failed    error // why the session is finished
}

// New makes a Pipeline; Run makes it go.
func New(opts Options, deps Deps) *Pipeline {
	opts.StateEvery = cmp.Or(opts.StateEvery, 256)
	return &Pipeline{
		opts: opts, deps: deps, pool: newPool(opts.Bytes),
		hedger: newHedger(opts.HedgeBudget), began: time.Now(),
		wake: make(chan struct{}, 1), landed: make(chan struct{}, 1),
		tenures: map[ID]*Tenure{},
	}
}

// signal makes Run look again.
func (p *Pipeline) signal() { nudge(p.wake) }

func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run flushes until ctx ends or the session is finished, and returns why. When
// it returns, everything that waited was answered. Uploads and commits run
// under ctx, which outlives every request.
func (p *Pipeline) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	workers.Go(func() { p.commitAll(ctx, cancel) })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		b, wait := p.next(time.Now())
		if b != nil {
			workers.Go(func() {
				if err := p.upload(ctx, b, &workers); err != nil {
					cancel(err)
				}
			})
			continue
		}
		timer.Reset(wait)
		select {
		case <-p.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		p.answerLate(time.Now())
	}
	workers.Wait()
	err := context.Cause(ctx)
	p.fail(err)
	return err
}

// idleTrim is how often an idle pipeline looks around and gives memory back.
const idleTrim = 10 * time.Second

// next seals the open buffer if its time has come and returns the buffer to
// upload, or how long to wait.
func (p *Pipeline) next(now time.Time) (*buffer, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := p.untilLateLocked(now)
	if p.uploading >= p.opts.Concurrency {
		return nil, wait
	}
	if len(p.sealed) > 0 {
		b := p.sealed[0]
		p.sealed = p.sealed[1:]
		p.flyLocked(b)
		return b, 0
	}
	if p.open == nil {
		p.pool.trim()
		return nil, wait
	}
	if d := p.dueLocked().Sub(now); d > 0 {
		return nil, min(wait, d)
	}
	p.lastPaced = now
	b := p.open
	p.sealLocked(b)
	p.sealed = nil
	p.flyLocked(b)
	return b, 0
}

func (p *Pipeline) flyLocked(b *buffer) {
	p.flying = append(p.flying, b)
	p.uploading++
}

// dueLocked is when the open buffer is flushed although it is not full.
func (p *Pipeline) dueLocked() time.Time {
	if p.draining {
		return time.Time{}
	}
	due := p.open.first
	if len(p.flying) > 0 {
		due = due.Add(p.opts.Age)
	}
	if p.opts.MaxPerSecond > 0 {
		paced := p.lastPaced.Add(time.Duration(float64(time.Second) / p.opts.MaxPerSecond))
		if paced.After(due) {
			return paced
		}
	}
	return due
}

// sealLocked ends the open buffer b and gives it its number.
func (p *Pipeline) sealLocked(b *buffer) {
	b.number = p.numbers
	p.numbers++
	for i := range b.sections {
		t := b.sections[i].tenure
		if t.segments--; t.segments == 0 {
			t.segments = p.opts.StateEvery
			b.sections[i].state = t.producers.Append(nil, t.end)
		}
	}
	p.sealed = append(p.sealed, b)
	p.open = nil
}

// Drain refuses new batches with err, flushes what there is at once, and waits
// until all of it is resolved or ctx ends.
func (p *Pipeline) Drain(ctx context.Context, err error) error {
	p.mu.Lock()
	p.draining = true
	tenures := make([]*Tenure, 0, len(p.tenures))
	for _, t := range p.tenures {
		tenures = append(tenures, t)
	}
	p.mu.Unlock()
	p.signal()
	for _, t := range tenures {
		p.Stop(t, err)
	}
	for _, t := range tenures {
		if err := p.settle(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// fail ends the session's pipeline: everything that waits is answered that its
// outcome is unknown, and nothing more is taken.
func (p *Pipeline) fail(err error) {
	answers := answers{}
	p.mu.Lock()
	p.failed = refusal(err)
	buffers := p.unresolvedLocked()
	p.flying, p.sealed, p.open = nil, nil, nil
	for _, b := range buffers {
		answers.takeWaiting(b, p.failed)
		for i := range b.sections {
			p.closeLocked(b.sections[i].tenure, p.failed) // whoever waits for one that was disowned
		}
	}
	closed := make([]*Tenure, 0, len(p.tenures))
	for _, t := range p.tenures {
		closed = append(closed, t)
		p.closeLocked(t, p.failed)
	}
	clear(p.tenures)
	p.mu.Unlock()
	for _, t := range closed {
		t.Index.Close(p.failed)
	}
	answers.send()
}

// errStopped is the cause when the agent ends with flushes still unresolved.
var errStopped = errors.New("the agent stopped")

// Buffered returns the bytes of the buffers in use and their limit.
func (p *Pipeline) Buffered() (used, limit int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held, p.opts.BufferBytes
}
