package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// sink is the sending half of a stream.
type sink struct {
	grpc.ServerStream
	sent chan []wire.Answer
	gate chan struct{} // nil, or one value for each message that goes out
}

func (s *sink) SendMsg(m any) error {
	if s.gate != nil {
		<-s.gate
	}
	answers, ok := m.(*wire.Answers)
	if !ok {
		return fmt.Errorf("sent a %T", m)
	}
	s.sent <- slices.Clone(answers.Answers)
	return nil
}

var refused = reason.New(reason.Overloaded, "full")

// In whatever order the outcomes come, each partition's are sent in the order
// of its batches, each once, and send returns when the last one is out.
func TestAnswersRandomly(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			a := newAnswers(&stats.Labelled{})
			out := &sink{sent: make(chan []wire.Answer, 1000)}
			sent := make(chan error, 1)
			go func() { sent <- a.send(t.Context(), out) }()
			type asked struct {
				to      *partitionAnswers
				request uint64
			}
			var open []asked
			expected := map[uint32][]uint64{}
			for n := range uint64(300) {
				partition := uint32(r.IntN(5))
				request := 10*n + uint64(partition)
				if r.IntN(10) == 0 && n > 0 { // clients may use a number twice
					request = 10*(n-1) + uint64(partition)
				}
				open = append(open, asked{a.expect(flush.ID{Partition: partition}, request), request})
				expected[partition] = append(expected[partition], request)
				for len(open) > 0 && r.IntN(2) == 0 {
					i := r.IntN(len(open))
					open[i].to.Answer(open[i].request, 1, []error{nil, refused}[r.IntN(2)])
					open = slices.Delete(open, i, i+1)
				}
			}
			a.finish()
			synctest.Wait()
			if len(sent) > 0 && len(open) > 0 {
				t.Fatalf("seed %d: ended before the last answer", seed)
			}
			r.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
			for _, o := range open {
				o.to.Answer(o.request, 1, nil)
			}
			if err := <-sent; err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			close(out.sent)
			got := map[uint32][]uint64{}
			for message := range out.sent {
				for _, answer := range message {
					partition := uint32(answer.RequestID % 10)
					got[partition] = append(got[partition], answer.RequestID)
				}
			}
			for partition, want := range expected {
				if !slices.Equal(got[partition], want) {
					t.Fatalf("seed %d: partition %d was answered %v, want %v", seed, partition, got[partition], want)
				}
			}
		})
	}
}

// A client that sends and does not read its answers is not read from beyond a
// bound: its unanswered batches are all that the agent keeps for it.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers(&stats.Labelled{})
		out := &sink{sent: make(chan []wire.Answer, maxUnanswered), gate: make(chan struct{})}
		ctx, cancel := context.WithCancelCause(t.Context())
		sent := make(chan error, 1)
		go func() { sent <- a.send(ctx, out) }()
		took := make(chan int, 1)
		go func() {
			n := 0
			for a.wait(ctx) == nil {
				a.expect(flush.ID{}, uint64(n)).Answer(uint64(n), 0, nil)
				n++
			}
			took <- n
		}()
		time.Sleep(time.Minute)
		a.mu.Lock()
		unanswered := a.unanswered
		a.mu.Unlock()
		if unanswered != maxUnanswered {
			t.Errorf("%d are unanswered, want %d", unanswered, maxUnanswered)
		}
		out.gate <- struct{}{} // the first message goes out, and makes room
		first := <-out.sent
		synctest.Wait()
		cancel(errEnd)
		if n := <-took; n != maxUnanswered+len(first) {
			t.Errorf("%d were taken after %d were sent", n, len(first))
		}
		close(out.gate)
		if err := <-sent; !errors.Is(err, errEnd) {
			t.Errorf("send ended with %v", err)
		}
	})
}

// Partitions that a stream sent to once are forgotten, when they are many.
func TestIdlePartitions(t *testing.T) {
	a := newAnswers(&stats.Labelled{})
	for i := range uint32(5 * maxIdle) {
		a.expect(flush.ID{Partition: i}, 1).Answer(1, 0, nil)
	}
	if n := len(a.partitions); n > maxIdle+1 {
		t.Errorf("%d partitions are remembered", n)
	}
	// One that waits is not forgotten, and goes on in order.
	waits := a.expect(flush.ID{Partition: 1 << 20}, 1)
	again := a.expect(flush.ID{Partition: 1 << 20}, 2)
	again.Answer(2, 0, nil)
	a.ready = nil
	a.expect(flush.ID{Partition: 1 << 20}, 3).Answer(3, 0, nil)
	if len(a.ready) != 0 {
		t.Errorf("answered %v, and 1 is not known", a.ready)
	}
	waits.Answer(1, 0, nil)
	if len(a.ready) != 3 || a.ready[0].RequestID != 1 || a.ready[2].RequestID != 3 {
		t.Errorf("answered %v", a.ready)
	}
}

// Sending fails with the stream; nobody waits for ever.
func TestSendEnds(t *testing.T) {
	a := newAnswers(&stats.Labelled{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnd)
	if err := a.send(ctx, &sink{}); !errors.Is(err, errEnd) {
		t.Errorf("send ended with %v", err)
	}
	for range maxUnanswered {
		a.expect(flush.ID{}, 1)
	}
	if err := a.wait(ctx); !errors.Is(err, errEnd) {
		t.Errorf("wait ended with %v", err)
	}
}

// As many batches as a stream may have unanswered, of one partition: all but the
// first refused, as behind a gap, or all committed, in order.
func BenchmarkAnswers(b *testing.B) {
	for name, err := range map[string]error{"committed": nil, "refused": refused} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				a := newAnswers(&stats.Labelled{})
				var to *partitionAnswers
				for i := range uint64(maxUnanswered) {
					if to = a.expect(flush.ID{}, i); err != nil && i > 0 {
						to.Answer(i, 0, err)
					}
				}
				for i := range uint64(maxUnanswered) {
					if err == nil || i == 0 {
						to.Answer(i, 0, nil)
					}
				}
				if len(a.ready) != maxUnanswered {
					b.Fatalf("%d answers", len(a.ready))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxUnanswered), "ns/answer")
		})
	}
}
