package producer

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/proto/wire"
)

// requestTarget is how many bytes of batches travel in one message: enough to
// spread the cost of a message, little enough to stay in the caches. A larger
// batch travels alone, and no batch is larger than what agents take.
const requestTarget = 256 << 10

// stream is one ProduceStream call of a link: the link's goroutine sends, a
// second one receives.
type stream struct {
	link   *link
	calls  grpc.ClientStream
	ctx    context.Context // the call's; its cause is why the stream ended
	cancel context.CancelCauseFunc

	request wire.Request // the sender's
	size    int

	silences int     // the link's, when the stream began
	spread   float64 // from 0 to 1, at random, for its patience

	mu struct {
		sync.Mutex
		inFlight map[uint64]sent // by request id
		bytes    int
		lastID   uint64
		worked   bool      // something was answered
		heard    time.Time // when, last
		// suspect: it is silent, or follows one that was and has answered nothing.
		suspect bool
		solo    int // batches still to be sent one at a time

		timer *time.Timer // set while armed
	}
	worked bool // mu.worked, once the stream has ended
}

// sent is a batch in flight.
type sent struct {
	batch *recordBatch
	size  int
	at    time.Time
	first bool // it was never sent before
}

func newStream(ctx context.Context, l *link, calls grpc.ClientStream, cancel context.CancelCauseFunc) *stream {
	s := &stream{link: l, calls: calls, ctx: ctx, cancel: cancel, silences: l.silences, spread: rand.Float64()}
	s.mu.inFlight = map[uint64]sent{}
	s.mu.solo = l.solo
	s.mu.suspect = l.silences > 0
	return s
}

// run returns why the stream ended, never nil.
func (s *stream) run() error {
	var receiver sync.WaitGroup
	receiver.Go(s.receive)
	s.send()
	receiver.Wait()
	s.disarm()
	return context.Cause(s.ctx)
}

// send feeds the stream until its context is done.
func (s *stream) send() {
	if s.link.probing && !s.fill() {
		s.cancel(errIdle) // what it was opened for has gone elsewhere: let another one probe
	}
	idle := time.NewTimer(idleTime)
	defer idle.Stop()
	for s.ctx.Err() == nil {
		if s.fill() {
			s.flush()
			continue
		}
		idle.Reset(idleTime)
		select {
		case <-s.link.wake:
		case <-s.ctx.Done():
		case <-idle.C:
			if s.empty() {
				s.cancel(errIdle)
			}
		}
	}
}

// fill adds batches to the request, one of each partition in turn, and tells
// whether there is anything to send.
func (s *stream) fill() bool {
	for s.size < requestTarget && s.hasRoom() {
		pt := s.link.pop()
		if pt == nil {
			break
		}
		b, toEncode := pt.next(s.link)
		pt.encode(toEncode)
		if b != nil {
			s.add(b)
		}
	}
	return len(s.request.Batches) > 0
}

// add puts b into the request; if that would make it large, what is in it
// already goes first.
func (s *stream) add(b *recordBatch) {
	if b.data == nil {
		b.data = b.builder.Seal(b.id, b.seq)
	}
	if s.size > 0 && s.size+len(b.data) > requestTarget {
		s.flush()
	}
	for _, h := range s.link.p.cfg.hooks.sent {
		h.OnBatchSent(b.sentEvent(s.link.agent.address))
	}
	s.size += len(b.data)
	s.request.Batches = append(s.request.Batches, wire.Batch{
		RequestID: s.launch(b), TopicID: b.part.topic.id, Partition: b.part.index, Data: b.data,
	})
}

// flush sends the request. An error ends the stream, for which the receiver
// knows the reason; all in flight is then handed back.
func (s *stream) flush() {
	err := s.calls.SendMsg(&s.request)
	clear(s.request.Batches)
	s.request.Batches, s.size = s.request.Batches[:0], 0
	if err != nil && !errors.Is(err, io.EOF) {
		s.cancel(err)
	}
	if err != nil {
		<-s.ctx.Done()
	}
}

// receive hands answers to their partitions until the stream ends.
func (s *stream) receive() {
	var answers wire.Answers
	for {
		if err := s.calls.RecvMsg(&answers); errors.Is(err, io.EOF) {
			s.cancel(errStreamEnded)
			return
		} else if err != nil {
			s.cancel(err)
			return
		}
		now := time.Now()
		for i := range answers.Answers {
			s.answer(&answers.Answers[i], now)
		}
	}
}

func (s *stream) answer(a *wire.Answer, now time.Time) {
	f := s.land(a.RequestID, now)
	if f.batch == nil {
		s.link.logStranger(a.RequestID)
		return
	}
	if f.first && a.Err == nil {
		s.link.p.latency.add(now.Sub(f.at))
	}
	err := reason.FromProto(a.Err)
	e := s.link.observeAnswer(f, err)
	if f.batch.part.answered(f.batch, a.BaseOffset, err) {
		s.link.observeRetry(e)
	}
}
