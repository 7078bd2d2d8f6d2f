package rpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
)

// maxUnanswered bounds the batches of one stream that wait for an answer or
// whose answer waits to be sent. A client that sends more is not read from.
const maxUnanswered = 1 << 14

// ProduceStream takes batches in and sends answers out, each in a goroutine of
// its own. It ends when the client has sent everything and got every answer,
// or when the agent has drained.
func (s *producerServer) ProduceStream(stream grpc.BidiStreamingServer[streamhousev1.ProduceStreamRequest, streamhousev1.ProduceStreamResponse]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	out := newAnswers(&s.stats.Refusals)
	var sender sync.WaitGroup
	sender.Go(func() {
		if err := out.send(ctx, stream); err != nil {
			cancel(err)
		}
	})
	received := make(chan error, 1)
	// Nothing but the end of this call ends RecvMsg, so this call cannot wait
	// for it: Services.Wait does.
	s.reads.Go(func() { received <- s.receive(ctx, stream, out) })
	var err error
	select {
	case err = <-received:
	case <-s.stopped:
		err = errStopping()
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil || errors.Is(err, reason.Draining) {
		out.finish()
	} else {
		cancel(err)
	}
	sender.Wait()
	return refuse(ctx, err)
}

func errStopping() error { return reason.New(reason.Draining, "this agent is shutting down") }

// receive hands batches to the pipeline in the order in which they come.
func (s *producerServer) receive(ctx context.Context, stream grpc.ServerStream, out *answers) error {
	arrival := &wire.Arrival{}
	for {
		if err := out.wait(ctx); err != nil {
			return err
		}
		if err := stream.RecvMsg(arrival); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for i := range arrival.Batches {
			b := &arrival.Batches[i]
			id := flush.ID{Topic: b.TopicID, Partition: b.Partition}
			answerer := out.expect(id, b.RequestID)
			if err := s.append(ctx, id, b, answerer); err != nil {
				answerer.Answer(b.RequestID, 0, refuse(ctx, err))
			}
		}
		arrival.Free()
	}
}

// append checks one batch and hands it on.
func (s *producerServer) append(ctx context.Context, id flush.ID, b *wire.ArrivedBatch, to flush.Answerer) error {
	header, err := s.check(b)
	if err != nil {
		return err
	}
	h, err := s.owner()
	if err != nil {
		return err
	}
	err = h.Pipeline.Append(id, &flush.Batch{Header: header, Parts: b.Parts}, to, b.RequestID)
	if errors.Is(err, reason.NotOwner) {
		return s.hint(id, s.explain(ctx, id, err))
	}
	return err
}

// explain says whether a partition that is not owned here exists at all.
func (s *producerServer) explain(ctx context.Context, id flush.ID, notOwner error) error {
	t, err := s.catalog.ByID(ctx, id.Topic)
	switch {
	case errors.Is(err, reason.UnknownTopic):
		return err
	case err != nil: // that it is not ours is true whatever the store would say
		return notOwner
	}
	if _, err := s.catalog.With(ctx, t, id.Partition); errors.Is(err, reason.UnknownTopic) {
		return err
	}
	return notOwner
}

// check verifies a batch where it lies in gRPC's buffers. Its records are not
// looked at.
func (s *producerServer) check(b *wire.ArrivedBatch) (batch.Header, error) {
	if b.Size > s.opts.MaxBatchBytes {
		return batch.Header{}, s.tooLarge(b.Size)
	}
	var head [batch.HeaderSize]byte
	n := 0
	for _, part := range b.Parts {
		if n += copy(head[n:], part); n == len(head) {
			break
		}
	}
	header, err := batch.ParseHeader(head[:n])
	if err != nil {
		return header, reason.New(reason.CorruptBatch, "%v", err)
	}
	if int(header.Size) != b.Size {
		return header, reason.New(reason.CorruptBatch, "the batch says that it has %d bytes, and %d came", header.Size, b.Size)
	}
	crc, skip := uint32(0), batch.ChecksumFrom
	for _, part := range b.Parts {
		if skip >= len(part) {
			skip -= len(part)
			continue
		}
		crc, skip = batch.Update(crc, part[skip:]), 0
	}
	if crc != header.CRC {
		return header, reason.New(reason.CorruptBatch, "the batch's checksum is %08x, and its bytes have %08x", header.CRC, crc)
	}
	return header, nil
}
