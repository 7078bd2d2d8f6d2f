package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/progress"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/reader"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/record"
	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
)

// onlineReport counts what agents gave.
type onlineReport struct {
	Topics     int   `json:"topics"`
	Partitions int   `json:"partitions"`
	Batches    int64 `json:"batches"`
	Records    int64 `json:"records"`
}

// readAgents reads through agents what consumers read, and holds it against the
// store's report if there is one.
func (v *verification) readAgents(cmd *cobra.Command) error {
	c, err := v.open()
	if err != nil {
		return err
	}
	defer c.conn.Close()
	owners := newOwners(v.connection, c)
	defer owners.close()
	ctx, cancel := v.limit(cmd.Context())
	topics, err := v.topicsToRead(ctx, c)
	cancel()
	if err != nil {
		return err
	}
	o := &online{owners: owners, verification: v}
	total, err := o.total(cmd.Context(), topics)
	if err != nil {
		return err
	}
	stop := progress.Watch(cmd.ErrOrStderr(), "read from agents", total, o.records.Load)
	defer stop()
	v.online = &onlineReport{}
	for _, topic := range topics {
		if err := o.read(cmd.Context(), topic); err != nil {
			return err
		}
		v.online.Topics++
	}
	return nil
}

// online is the reading through agents.
type online struct {
	*verification
	owners           *owners
	batches, records atomic.Int64
}

// total is how many records there are to read, more or less: logs go on.
func (o *online) total(ctx context.Context, topics []string) (records int64, err error) {
	for _, topic := range topics {
		spans, err := o.spans(ctx, topic)
		if err != nil {
			return 0, err
		}
		for _, s := range spans {
			records += int64(s.To - s.From)
		}
	}
	return records, nil
}

// spans are what there is of a topic now.
func (o *online) spans(ctx context.Context, topic string) (spans []reader.Range, err error) {
	call, cancel := o.limit(ctx)
	defer cancel()
	found, err := o.owners.first.topics.DescribeTopic(call, &streamhousev1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return nil, err
	}
	for n := range found.GetTopic().GetPartitionCount() {
		start, end, err := o.bounds(ctx, topic, n)
		if err != nil {
			return nil, err
		}
		spans = append(spans, reader.Range{Partition: n, At: start, From: start, To: end})
	}
	return spans, nil
}

func (o *online) read(ctx context.Context, topic string) error {
	spans, err := o.spans(ctx, topic)
	if err != nil {
		return err
	}
	r := reader.Reader{Client: o.owners, Topic: topic, MaxBytes: fetchBytes(min(parallelPartitions, len(spans))), Patience: o.timeout}
	var mu sync.Mutex
	var visitors []*verifyVisitor
	err = r.ReadAll(ctx, spans, parallelPartitions, func(span reader.Range) reader.Visitor {
		visitor := &verifyVisitor{online: o, span: span, stored: o.stored(topic, span.Partition)}
		mu.Lock()
		defer mu.Unlock()
		visitors = append(visitors, visitor)
		return visitor
	})
	o.online.Batches, o.online.Records = o.batches.Load(), o.records.Load()
	if err != nil {
		return faultOf(err, topic)
	}
	o.online.Partitions += len(spans)
	for _, visitor := range visitors {
		if err := visitor.compare(topic); err != nil {
			return err
		}
	}
	return nil
}

// bounds asks the owner where a partition's log begins and ends.
func (o *online) bounds(ctx context.Context, topic string, partition uint32) (start, end uint64, err error) {
	ctx, cancel := o.limit(ctx)
	defer cancel()
	req := &streamhousev1.FetchRequest{Topic: topic, Partition: partition, MaxBytes: 1}
	answer, err := o.owners.Fetch(ctx, req, grpc.MaxCallRecvMsgSize(32<<20))
	if err == nil {
		return answer.GetStartOffset(), answer.GetEndOffset(), nil
	}
	if refusal := reason.From(err); refusal.Reason == reason.OffsetOutOfRange { // the beginning is gone
		start, startErr := strconv.ParseUint(refusal.Metadata[reason.MetaStartOffset], 10, 64)
		end, endErr := strconv.ParseUint(refusal.Metadata[reason.MetaEndOffset], 10, 64)
		return start, end, errors.Join(startErr, endErr)
	}
	return 0, 0, faultOf(fmt.Errorf("ask for the end of %s/%d: %w", topic, partition, err), topic)
}

// stored is what the store's report says of a partition; nil for nothing.
func (o *online) stored(topic string, partition uint32) *agent.VerifiedPartition {
	if o.report == nil {
		return nil
	}
	for i := range o.report.Partitions {
		if p := &o.report.Partitions[i]; p.Topic == topic && p.Partition == partition {
			return p
		}
	}
	return nil
}

// verifyVisitor sums up what one partition's owner gives.
type verifyVisitor struct {
	*online
	span   reader.Range
	stored *agent.VerifiedPartition
	digest agent.Digest
}

// VisitBatch implements reader.BatchVisitor. What was committed after the store
// was read is not compared.
func (v *verifyVisitor) VisitBatch(base uint64, h *batch.Header) {
	v.batches.Add(1)
	if v.stored != nil && base < v.stored.End {
		v.digest.Add(base, h)
	}
}

// Visit implements reader.Visitor.
func (v *verifyVisitor) Visit(*record.Record) error {
	v.records.Add(1)
	return nil
}

// Pause implements reader.Visitor.
func (v *verifyVisitor) Pause() error { return nil }

// compare holds the partition against the store.
func (v *verifyVisitor) compare(topic string) error {
	s := v.stored
	if s == nil {
		return nil
	}
	f := &agent.FaultError{Topic: topic, Partition: &v.span.Partition}
	switch {
	case v.span.To < s.End:
		f.Offset = &v.span.To
		f.What = fmt.Sprintf("its owner's log ends at offset %d, and the store's at %d", v.span.To, s.End)
	case v.span.At == s.Start && v.digest != s.Digest:
		f.Offset = &s.Start
		f.What = fmt.Sprintf("its owner gives other batches than the store holds, between the offsets %d and %d", s.Start, s.End)
	default:
		return nil
	}
	return f
}

// faultOf makes a fault of what a reader found wrong, and of damage that an
// agent found; what could not be asked stays an error.
func faultOf(err error, topic string) error {
	var call interface{ GRPCStatus() *status.Status }
	refused := errors.As(err, &call)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case refused && reason.From(err).Reason != reason.CorruptSegment:
		return err
	}
	return &agent.FaultError{Topic: topic, What: err.Error()}
}

func listTopics(ctx context.Context, c *client) (names []string, err error) {
	answer, err := c.topics.ListTopics(ctx, &streamhousev1.ListTopicsRequest{})
	for _, t := range answer.GetTopics() {
		names = append(names, t.GetName())
	}
	return names, err
}
