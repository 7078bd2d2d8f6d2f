package producer

import (
	"context"
	"errors"
	"io"
	"log/slog"
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

	mu struct {
		sync.Mutex
		inFlight map[uint64]sent // by request id
		bytes    int
		lastID   uint64
		worked   bool // something was answered
		solo     int  // batches still to be sent one at a time

		timer *time.Timer // set while armed
	}
	worked bool // mu.worked, once the stream has ended
}

// sent is a batch in flight.
type sent struct {
	batch *recordBatch
	size  int
	at    time.Time
}

func newStream(ctx context.Context, l *link, calls grpc.ClientStream, cancel context.CancelCauseFunc) *stream {
	s := &stream{link: l, calls: calls, ctx: ctx, cancel: cancel}
	s.mu.inFlight = map[uint64]sent{}
	s.mu.solo = l.solo
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

// launch notes b as in flight, before it is sent.
func (s *stream) launch(b *recordBatch) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.lastID++
	s.mu.inFlight[s.mu.lastID] = sent{batch: b, size: len(b.data), at: time.Now()}
	s.mu.bytes += len(b.data)
	if s.mu.timer == nil {
		s.mu.timer = time.AfterFunc(s.link.p.cfg.requestTimeout, s.checkAnswers)
	}
	return s.mu.lastID
}

// hasRoom tells whether another batch may be sent. While it is not so, every
// answer nudges the sender.
func (s *stream) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.solo > 0 {
		return len(s.mu.inFlight) == 0
	}
	return s.mu.bytes < s.link.p.cfg.maxInFlightBytes
}

func (s *stream) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.inFlight) == 0
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
		for i := range answers.Answers {
			s.answer(&answers.Answers[i])
		}
	}
}

func (s *stream) answer(a *wire.Answer) {
	b := s.land(a.RequestID)
	if b == nil {
		s.link.p.cfg.log.Warn("answer to an unknown request", slog.String("agent", s.link.address), slog.Uint64("request_id", a.RequestID))
		return
	}
	b.part.answered(b, a.BaseOffset, reason.FromProto(a.Err))
}

// land takes the batch of an answer out of those in flight, and lets the
// sender go on if it was waiting for room.
func (s *stream) land(id uint64) *recordBatch {
	window := s.link.p.cfg.maxInFlightBytes
	s.mu.Lock()
	f := s.mu.inFlight[id]
	delete(s.mu.inFlight, id)
	waiting := s.mu.bytes >= window || s.mu.solo > 0
	s.mu.bytes -= f.size
	s.mu.worked = true
	if f.batch != nil && s.mu.solo > 0 {
		s.mu.solo--
	}
	s.mu.Unlock()
	if waiting {
		s.link.nudge()
	}
	return f.batch
}

// checkAnswers breaks the stream when the oldest batch in flight has waited
// too long for its answer. Otherwise it comes back when it could have.
func (s *stream) checkAnswers() {
	if s.overdue() {
		s.cancel(errNoAnswer)
	}
}

func (s *stream) overdue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.timer == nil {
		return false
	}
	if len(s.mu.inFlight) == 0 {
		s.mu.timer = nil // the next batch arms another
		return false
	}
	oldest := time.Now()
	for _, f := range s.mu.inFlight {
		if f.at.Before(oldest) {
			oldest = f.at
		}
	}
	left := s.link.p.cfg.requestTimeout - time.Since(oldest)
	if left > 0 {
		s.mu.timer.Reset(left)
	}
	return left <= 0
}

func (s *stream) disarm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.timer != nil {
		s.mu.timer.Stop()
		s.mu.timer = nil
	}
}

// handBack gives the batches in flight back to their partitions, after both
// goroutines have ended.
//
// A stream that ends with an error that no retry can mend, such as gRPC's
// 'message larger than max', was ended by one of them. If it is the only one,
// it is refused. Otherwise the next streams send one at a time until it is
// found: the others have done nothing wrong.
func (s *stream) handBack(err *reason.Error) {
	s.mu.Lock()
	inFlight := s.mu.inFlight
	s.mu.inFlight = nil
	s.worked = s.mu.worked
	s.link.solo = s.mu.solo
	s.mu.Unlock()
	fatal := err.Recovery() == reason.Fail
	culprit := fatal && len(inFlight) == 1 && !isCredentials(err)
	for _, f := range inFlight {
		if culprit {
			f.batch.part.answered(f.batch, 0, err)
			s.link.solo = max(0, s.link.solo-1)
		} else {
			f.batch.part.lost(f.batch, err)
		}
	}
	switch {
	case fatal && isCredentials(err):
		s.link.refuseAll(err)
	case fatal && !culprit:
		s.link.solo = max(s.link.solo, len(inFlight))
	}
}
