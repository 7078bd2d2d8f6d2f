package rpc

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
)

// Answers come in the order of each partition's batches: a refusal, which is
// known at once, waits for what was sent before it. Partitions do not wait for
// each other, and a refusal does not end the stream.
func TestAnswersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{Put: faults.Latency{P50: time.Second}})
		s := a.stream()
		id := a.topic.GetId()
		s.send(
			wire.Batch{RequestID: 10, TopicID: id, Data: encode(1, 0, 2, 10)},
			wire.Batch{RequestID: 11, TopicID: id, Data: damaged()},
			wire.Batch{RequestID: 12, TopicID: id, Data: encode(1, 7, 1, 10)},
			wire.Batch{RequestID: 13, TopicID: id, Data: encode(1, 1, 1, 10)},
			wire.Batch{RequestID: 20, TopicID: id, Partition: 1, Data: damaged()},
			wire.Batch{RequestID: 30, TopicID: id, Partition: 3, Data: encode(1, 0, 1, 10)},
			wire.Batch{RequestID: 40, TopicID: id + 1, Data: encode(1, 0, 1, 10)},
		)
		began := time.Now()
		for _, answer := range s.receive(3) {
			want := map[uint64]reason.Reason{20: reason.CorruptBatch, 30: reason.UnknownTopic, 40: reason.UnknownTopic}[answer.RequestID]
			if want == "" || !is(answer, want) {
				t.Errorf("at first: %+v", answer)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("refusals of other partitions took %v", took)
		}
		rest := s.receive(4)
		for i, want := range []struct {
			request, base uint64
			err           reason.Reason
		}{{10, 0, ""}, {11, 0, reason.CorruptBatch}, {12, 0, reason.SequenceGap}, {13, 2, ""}} {
			got := rest[i]
			if got.RequestID != want.request || !is(got, want.err) || got.BaseOffset != want.base {
				t.Errorf("answer %d is %+v, want %+v", i, got, want)
			}
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := s.end(); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// A client that has sent everything gets every answer before the end.
func TestCloseSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{Put: faults.Latency{P50: 50 * time.Millisecond}})
		s := a.stream()
		const n = 500
		for seq := range uint64(n) {
			s.send(wire.Batch{RequestID: seq, TopicID: a.topic.GetId(), Data: encode(0, 0, 1, 1000)})
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		for seq := uint64(0); seq < n; {
			var m wire.Answers
			if err := s.RecvMsg(&m); err != nil {
				t.Fatalf("after %d answers: %v", seq, err)
			}
			for _, answer := range m.Answers {
				if answer.RequestID != seq || answer.BaseOffset != seq || answer.Err != nil {
					t.Fatalf("answer %d is %+v", seq, answer)
				}
				seq++
			}
		}
		if err := s.end(); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// An agent that stops answers what it took, and then ends the stream with
// DRAINING, so that the client looks for another.
func TestStopEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{Put: faults.Latency{P50: time.Second}})
		busy, idle := a.stream(), a.stream()
		busy.send(wire.Batch{RequestID: 1, TopicID: a.topic.GetId(), Data: encode(1, 0, 1, 10)})
		idle.send()
		synctest.Wait()
		a.Stop()
		a.Stop() // again is no harm
		if err := idle.end(); !errors.Is(reason.From(err), reason.Draining) {
			t.Errorf("an idle stream ended with %v", err)
		}
		if answer := busy.receive(1)[0]; answer.Err != nil {
			t.Errorf("answered %+v", answer)
		}
		if err := busy.end(); !errors.Is(reason.From(err), reason.Draining) {
			t.Errorf("a busy stream ended with %v", err)
		}
		if err := a.stream().end(); !errors.Is(reason.From(err), reason.Draining) {
			t.Errorf("a new stream ended with %v", err)
		}
	})
}

// What a client sent before its connection broke is committed all the same
// (hole 4), and its stream leaves nothing behind.
func TestBrokenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{Put: faults.Latency{P50: time.Second}})
		s := a.stream()
		s.send(wire.Batch{RequestID: 1, TopicID: a.topic.GetId(), Data: encode(1, 0, 2, 10)})
		synctest.Wait()
		first := a.conn
		a.connect(func() {})
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.end(); status.Code(err) != codes.Canceled {
			t.Errorf("the stream ended with %v", err)
		}
		if base := a.append(0, encode(1, 0, 2, 10)); base != 0 {
			t.Errorf("a repeat over a new connection is at %d", base)
		}
		if base := a.append(0, encode(1, 1, 1, 10)); base != 2 {
			t.Errorf("the next is at %d", base)
		}
	})
}

// A malformed message ends the stream with an error and harms nobody else.
func TestMalformedMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		s := a.stream()
		// Answers in the place of batches: field 1 holds a message of another kind.
		if err := s.SendMsg(&wire.Answers{Answers: []wire.Answer{{RequestID: 1, BaseOffset: 1}}}); err != nil {
			t.Fatal(err)
		}
		if got := s.receive(1)[0]; !is(got, reason.CorruptBatch) {
			t.Errorf("answered %+v", got)
		}
		a.append(0, encode(1, 0, 1, 10))
	})
}

// cuts splits b at n random places, some parts empty.
func cuts(r *rand.Rand, b []byte, n int) (parts [][]byte) {
	for range n {
		at := r.IntN(len(b) + 1)
		parts = append(parts, b[:at])
		b = b[at:]
	}
	return append(parts, b)
}

// However gRPC's buffers cut a batch, it is accepted whole, and with any bit
// of it flipped it is refused: nothing that is damaged may become durable.
func TestCheck(t *testing.T) {
	s := &producerServer{listening: &listening{Services: New(Options{MaxBatchBytes: 1000}, nil, nil, nil)}}
	r := rand.New(rand.NewPCG(1, 1))
	good := encode(3, 4, 2, 30)
	check := func(b []byte, n int) (batch.Header, error) {
		return s.check(&wire.ArrivedBatch{Parts: cuts(r, b, n), Size: len(b)})
	}
	for n := range 400 {
		if h, err := check(good, n%70); err != nil || h.ProducerID != 3 || h.Sequence != 4 || h.Records != 2 {
			t.Fatalf("cut %d times: %+v, %v", n%70, h, err)
		}
	}
	for bit := range 8 * len(good) {
		bad := append([]byte(nil), good...)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := check(bad, bit%9); !errors.Is(err, reason.CorruptBatch) {
			t.Fatalf("with bit %d flipped: %v", bit, err)
		}
	}
	for n := range good {
		if _, err := check(good[:n], 3); !errors.Is(err, reason.CorruptBatch) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := check(append(good, 0), 3); !errors.Is(err, reason.CorruptBatch) {
		t.Errorf("with a byte too many: %v", err)
	}
	// Its checksum fits, and yet a reader would take the rest for another batch.
	more := append(append([]byte(nil), good...), 0)
	binary.LittleEndian.PutUint32(more[4:], batch.Update(0, more[batch.ChecksumFrom:]))
	if _, err := check(more, 3); !errors.Is(err, reason.CorruptBatch) {
		t.Errorf("with a byte behind its end: %v", err)
	}
	if _, err := check(encode(1, 0, 1, 1000), 3); !errors.Is(err, reason.TooLarge) {
		t.Errorf("a batch above the limit: %v", err)
	}
	if _, err := check(nil, 0); !errors.Is(err, reason.CorruptBatch) {
		t.Errorf("nothing at all: %v", err)
	}
}
