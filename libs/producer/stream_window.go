package producer

import (
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// launch notes b as in flight, before it is sent.
func (s *stream) launch(b *recordBatch) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.lastID++
	s.mu.inFlight[s.mu.lastID] = sent{batch: b, size: len(b.data), at: time.Now(), first: b.sends == 1}
	s.mu.bytes += len(b.data)
	s.link.gauges.launch(len(b.data))
	if s.mu.timer == nil {
		s.mu.timer = time.AfterFunc(s.link.p.cfg.firstCheck(), s.checkAnswers)
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

// land takes the batch of an answer out of those in flight, and lets the
// sender go on if it was waiting for room.
func (s *stream) land(id uint64, now time.Time) sent {
	window := s.link.p.cfg.maxInFlightBytes
	s.mu.Lock()
	f := s.mu.inFlight[id]
	delete(s.mu.inFlight, id)
	if f.batch != nil {
		s.link.gauges.land(f.size)
	}
	waiting := s.mu.bytes >= window || s.mu.solo > 0
	s.mu.bytes -= f.size
	s.mu.worked, s.mu.heard, s.mu.suspect = true, now, false
	if f.batch != nil && s.mu.solo > 0 {
		s.mu.solo--
	}
	s.mu.Unlock()
	s.link.agent.succeeded(&s.link.p.cfg)
	if waiting {
		s.link.nudge()
	}
	return f
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
		s.link.gauges.land(f.size)
		if culprit {
			f.batch.part.answered(f.batch, 0, err)
			s.link.solo = max(0, s.link.solo-1)
			continue
		}
		e := s.link.retryEvent(f.batch, err)
		if f.batch.part.lost(f.batch, err) {
			s.link.observeRetry(e)
		}
	}
	switch {
	case fatal && isCredentials(err):
		s.link.refuseAll(err)
	case fatal && !culprit:
		s.link.solo = max(s.link.solo, len(inFlight))
	}
}
