package rpc

import (
	"cmp"
	"context"
	"sync"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// answers gathers a stream's answers and puts those of one partition in the
// order of its batches: a refusal, which is known at once, waits for the
// batches before it.
type answers struct {
	wake chan struct{} // something to send, or finished
	room chan struct{} // fewer are unanswered
	// refusals counts what is refused, by reason.
	refusals *stats.Labelled

	mu         sync.Mutex
	partitions map[flush.ID]*partitionAnswers
	ready      []wire.Answer
	unanswered int // expected and not sent
	finished   bool
}

// partitionAnswers are those of one partition, in the order of its batches.
type partitionAnswers struct {
	all  *answers
	id   flush.ID
	wait []expected // from index done on
	done int
}

type expected struct {
	answer wire.Answer
	known  bool
}

func newAnswers(refusals *stats.Labelled) *answers {
	return &answers{
		refusals: refusals,
		wake:     make(chan struct{}, 1), room: make(chan struct{}, 1),
		partitions: map[flush.ID]*partitionAnswers{},
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// maxIdle is how many partitions a stream is remembered to have sent to while
// nothing of theirs waits.
const maxIdle = 1 << 10

// expect notes that a batch came, before anybody can answer for it, and
// returns who answers.
func (a *answers) expect(id flush.ID, request uint64) *partitionAnswers {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.partitions[id]
	if p == nil {
		p = &partitionAnswers{all: a, id: id}
		a.partitions[id] = p
	}
	p.wait = append(p.wait, expected{answer: wire.Answer{RequestID: request}})
	a.unanswered++
	return p
}

// Answer implements flush.Answerer.
func (p *partitionAnswers) Answer(request, base uint64, err error) {
	answer := wire.Answer{RequestID: request, BaseOffset: base}
	if err != nil {
		answer.Err = reason.ToProto(err)
		p.all.refusals.Inc(label(err))
	}
	a := p.all
	a.mu.Lock()
	p.note(answer)
	before := len(a.ready)
	for ; p.done < len(p.wait) && p.wait[p.done].known; p.done++ {
		a.ready = append(a.ready, p.wait[p.done].answer)
	}
	ready := len(a.ready) > before
	p.compact()
	if len(p.wait) == 0 && len(a.partitions) > maxIdle {
		delete(a.partitions, p.id)
	}
	a.mu.Unlock()
	if ready {
		signal(a.wake)
	}
}

// label is what a refusal is counted under: its reason, or its code.
func label(err error) string {
	e := reason.From(err)
	return cmp.Or(string(e.Reason), e.Code.String())
}

// note finds the request. What is committed is nearly always the oldest that
// waits, and what is refused the newest.
func (p *partitionAnswers) note(answer wire.Answer) {
	last := len(p.wait) - 1
	for i := p.done; i <= last; i++ {
		w := &p.wait[i]
		if answer.Err != nil {
			w = &p.wait[last-(i-p.done)]
		}
		if !w.known && w.answer.RequestID == answer.RequestID {
			w.answer, w.known = answer, true
			return
		}
	}
}

// compact moves what waits to the front once that is less than what is done:
// each answer is moved once at most, on average.
func (p *partitionAnswers) compact() {
	if 2*p.done < len(p.wait) {
		return
	}
	n := copy(p.wait, p.wait[p.done:])
	clear(p.wait[n:])
	p.wait, p.done = p.wait[:n], 0
}

// wait returns when the stream may be read from.
func (a *answers) wait(ctx context.Context) error {
	for {
		a.mu.Lock()
		full := a.unanswered >= maxUnanswered
		a.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-a.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// finish makes send return once every answer that is expected was sent.
func (a *answers) finish() {
	a.mu.Lock()
	a.finished = true
	a.mu.Unlock()
	signal(a.wake)
}

// send sends what is ready, as one message, until all is done.
func (a *answers) send(ctx context.Context, stream grpc.ServerStream) error {
	var spare []wire.Answer
	for {
		a.mu.Lock()
		ready := a.ready
		a.ready = spare[:0]
		done := a.finished && a.unanswered == len(ready)
		a.mu.Unlock()
		if len(ready) > 0 {
			if err := stream.SendMsg(&wire.Answers{Answers: ready}); err != nil {
				return err
			}
			a.sent(len(ready))
		}
		if done {
			return nil
		}
		clear(ready)
		spare = ready
		select {
		case <-a.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (a *answers) sent(n int) {
	a.mu.Lock()
	a.unanswered -= n
	a.mu.Unlock()
	signal(a.room)
}
