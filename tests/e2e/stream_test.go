package e2e

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// stream is a ProduceStream as any protobuf client has it: generated code and
// gRPC's own codec.
type stream struct {
	t *testing.T
	streamhousev1.ProducerService_ProduceStreamClient
}

func openStream(t *testing.T, c *process.Client) stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	s, err := c.Producer.ProduceStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream{t, s}
}

func (s stream) send(batches ...*streamhousev1.ProduceBatch) {
	s.t.Helper()
	if err := s.Send(&streamhousev1.ProduceStreamRequest{Batches: batches}); err != nil {
		s.t.Fatalf("send on stream: %v", err)
	}
}

// answers receives n answers, in the order in which they come.
func (s stream) answers(n int) []*streamhousev1.ProduceAnswer {
	s.t.Helper()
	var all []*streamhousev1.ProduceAnswer
	for len(all) < n {
		in, err := s.Recv()
		if err != nil {
			s.t.Fatalf("receive answer %d of %d: %v", len(all)+1, n, err)
		}
		all = append(all, in.GetAnswers()...)
	}
	if len(all) > n {
		s.t.Fatalf("%d answers for %d batches", len(all), n)
	}
	return all
}

// rest receives answers until the stream ends.
func (s stream) rest() ([]*streamhousev1.ProduceAnswer, error) {
	var all []*streamhousev1.ProduceAnswer
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, in.GetAnswers()...)
	}
}

// encode makes a batch by hand.
func encode(codec batch.Codec, producerID, sequence uint64, values ...string) []byte {
	var b batch.Builder
	for _, v := range values {
		b.Append(&batch.Record{Value: []byte(v), Timestamp: time.Now().UnixMilli()})
	}
	b.Compress(codec)
	return b.Seal(producerID, sequence)
}

// requireReason fails unless err carries the reason, by the status code that
// belongs to it.
func requireReason(t *testing.T, err error, want reason.Reason) {
	t.Helper()
	got := reason.From(err)
	if got == nil {
		t.Fatalf("no error, want %s", want)
	}
	if got.Reason != want || got.Code != want.Code() || got.Message == "" {
		t.Fatalf("error is %+v, want %s with code %s", got, want, want.Code())
	}
}
