package conformance

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

const (
	topic      = world.Topic
	partitions = 3
)

// side is one of the two that are compared: an agent with a topic, and a
// stream to it.
type side struct {
	t       *testing.T
	name    string
	conn    *grpc.ClientConn
	topicID uint32
	stream  streamhousev1.ProducerService_ProduceStreamClient
	next    uint64 // request id
	stop    func() // drains the agent
	records func(partition int) []string
}

// sides makes both, in the bubble that it is called in.
func sides(t *testing.T) [2]*side {
	t.Helper()
	all := [2]*side{realSide(t), fakeSide(t)}
	for _, s := range all {
		d, err := s.describe(topic)
		if err != nil {
			t.Fatal(err)
		}
		s.topicID = d.GetTopic().GetId()
		s.open()
	}
	return all
}

func realSide(t *testing.T) *side {
	t.Helper()
	w := world.New(t)
	a := w.Start(func(c *agent.Config) {
		c.Limits.MaxBatchBytes = batch.MaxSize
		c.Buffers.Bytes = 64 << 20
	})
	w.MustCreateTopic(partitions)
	s := &side{t: t, name: "real agent", conn: w.Dial()}
	s.stop = func() {
		if err := a.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	s.records = s.fetch
	return s
}

func fakeSide(t *testing.T) *side {
	t.Helper()
	c := producertest.New(t, producertest.Topic(topic, partitions))
	conn, err := grpc.NewClient(c.Target(), c.Dialer(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &side{
		t: t, name: "producertest", conn: conn, stop: func() { c.Drain("a") },
		records: func(partition int) []string {
			var all []string
			for _, r := range c.Records(topic, partition) {
				all = append(all, show(r.Offset, r.Key, r.Value, r.Headers, r.Timestamp))
			}
			return all
		},
	}
}

func show(offset uint64, key, value []byte, headers []batch.RecordHeader, timestamp int64) string {
	return fmt.Sprintf("%d: %#v=%#v %#v at %d", offset, key, value, headers, timestamp)
}

// fetch reads a partition of the real agent.
func (s *side) fetch(partition int) []string {
	var all []string
	for next := uint64(0); ; {
		page, err := streamhousev1.NewConsumerServiceClient(s.conn).Fetch(s.t.Context(),
			&streamhousev1.FetchRequest{Topic: topic, Partition: uint32(partition), Offset: next})
		if err != nil {
			s.t.Fatal(err)
		}
		if next == page.GetEndOffset() {
			return all
		}
		for _, b := range page.GetBatches() {
			var d batch.Decoder
			if _, err := d.Reset(b.GetBatch()); err != nil {
				s.t.Fatal(err)
			}
			var r batch.Record
			for next = b.GetBaseOffset(); d.Next(&r); next++ {
				all = append(all, show(next, r.Key, r.Value, r.Headers, r.Timestamp))
			}
		}
	}
}

func (s *side) describe(name string) (*streamhousev1.DescribeTopicResponse, error) {
	return streamhousev1.NewTopicServiceClient(s.conn).DescribeTopic(s.t.Context(), &streamhousev1.DescribeTopicRequest{Name: name})
}

// open opens a stream in place of the one before.
func (s *side) open() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	var err error
	if s.stream, err = streamhousev1.NewProducerServiceClient(s.conn).ProduceStream(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// request is a batch for one of the topic's partitions, or for another topic.
type request struct {
	partition uint32
	elsewhere uint32 // added to the topic's id
	data      []byte
	what      string // for the reader of a failure
}

// send sends requests in one message and returns what becomes of each, in their
// order.
func (s *side) send(requests ...request) []string {
	s.t.Helper()
	m := &streamhousev1.ProduceStreamRequest{}
	first := s.next
	for _, r := range requests {
		m.Batches = append(m.Batches, &streamhousev1.ProduceBatch{
			RequestId: s.next, TopicId: s.topicID + r.elsewhere, Partition: r.partition, Batch: r.data,
		})
		s.next++
	}
	if err := s.stream.Send(m); err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
	results := make([]string, len(requests))
	for range requests {
		in, err := s.stream.Recv()
		if err != nil {
			return []string{verdict(err)}
		}
		for _, a := range in.GetAnswers() {
			i := a.GetRequestId() - first
			if i >= uint64(len(results)) || results[i] != "" {
				s.t.Fatalf("%s answers request %d, which is not open", s.name, a.GetRequestId())
			}
			results[i] = answer(a)
		}
		if !strings.Contains("\x00"+strings.Join(results, "\x00")+"\x00", "\x00\x00") {
			return results
		}
	}
	s.t.Fatalf("%s left requests open: %q", s.name, results)
	return nil
}

func answer(a *streamhousev1.ProduceAnswer) string {
	if e := a.GetError(); e != nil {
		return fmt.Sprintf("%s (%d)", e.GetReason(), e.GetCode())
	}
	return fmt.Sprintf("appended at %d", a.GetBaseOffset())
}

// verdict is what a failed call says to a program.
func verdict(err error) string {
	e := reason.From(err)
	return fmt.Sprintf("%s (%d)", e.Reason, e.Code)
}

// end is how the stream ends.
func (s *side) end() string {
	for {
		if _, err := s.stream.Recv(); err != nil {
			return verdict(err)
		}
	}
}
