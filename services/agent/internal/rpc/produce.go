package rpc

import (
	"context"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
)

type producerServer struct {
	streamhousev1.UnimplementedProducerServiceServer
	*listening
}

// Produce encodes plain records into a batch and waits until it is durable.
// The batch goes its way whatever becomes of the call.
func (s *producerServer) Produce(ctx context.Context, req *streamhousev1.ProduceRequest) (*streamhousev1.ProduceResponse, error) {
	h, tenure, err := s.tenure(ctx, req, req.TopicId)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	encoded, err := s.encode(req, time.Now())
	if err != nil {
		return nil, err
	}
	header, err := batch.ParseHeader(encoded)
	if err != nil {
		return nil, reason.New(reason.InvalidArgument, "%v", err)
	}
	answer := make(oneAnswer, 1)
	b := &flush.Batch{Header: header, Parts: [][]byte{encoded}}
	if err := h.Pipeline.Append(tenure.ID, b, answer, 0); err != nil {
		return nil, refuse(ctx, s.hint(tenure.ID, err))
	}
	select {
	case a := <-answer:
		if a.err != nil {
			return nil, refuse(ctx, a.err)
		}
		return &streamhousev1.ProduceResponse{BaseOffset: a.base, RecordCount: header.Records}, nil
	case <-ctx.Done():
		return nil, refuse(ctx, ctx.Err())
	}
}

// oneAnswer is an Answerer for a single batch.
type oneAnswer chan produced

type produced struct {
	base uint64
	err  error
}

func (a oneAnswer) Answer(_, base uint64, err error) { a <- produced{base, err} }

// encode checks a request and makes a batch of it. With a producer id, the
// same request always makes the same bytes: that is how a retry is known.
func (s *producerServer) encode(req *streamhousev1.ProduceRequest, now time.Time) ([]byte, error) {
	if err := checkRequest(req); err != nil {
		return nil, err
	}
	var b batch.Builder
	for i, r := range req.GetRecords() {
		if r == nil {
			return nil, reason.New(reason.InvalidArgument, "record %d is missing", i)
		}
		if r.Timestamp == nil && req.GetProducerId() != 0 {
			return nil, reason.New(reason.InvalidArgument,
				"record %d has no timestamp: with a producer id each needs one, so that a retry is identical", i)
		}
		record := plainRecord(r, now.UnixMilli())
		if b.Size()+batch.RecordSize(&record) > s.opts.MaxBatchBytes {
			return nil, s.tooLarge(b.Size() + batch.RecordSize(&record))
		}
		b.Append(&record)
	}
	return b.Seal(req.GetProducerId(), req.GetSequence()), nil
}

func checkRequest(req *streamhousev1.ProduceRequest) error {
	switch {
	case len(req.GetRecords()) == 0:
		return reason.New(reason.InvalidArgument, "the request has no records: send at least one")
	case req.ProducerId != nil && req.GetProducerId() == 0:
		return reason.New(reason.InvalidArgument, "producer id 0 stands for none: choose a random one, or leave it out")
	case req.ProducerId == nil && req.Sequence != nil:
		return reason.New(reason.InvalidArgument, "a sequence counts a producer's calls: give the producer id too, or leave both out")
	}
	return nil
}

func plainRecord(r *streamhousev1.Record, now int64) batch.Record {
	record := batch.Record{Key: r.Key, Value: r.Value, Timestamp: now}
	if r.Timestamp != nil {
		record.Timestamp = r.GetTimestamp()
	}
	for _, h := range r.GetHeaders() {
		record.Headers = append(record.Headers, batch.RecordHeader{Key: h.GetKey(), Value: h.Value})
	}
	return record
}

func (s *Services) tooLarge(size int) error {
	return reason.New(reason.TooLarge, "a batch of %d bytes is above this agent's limit of %d: send fewer or smaller records at once", size, s.opts.MaxBatchBytes)
}
