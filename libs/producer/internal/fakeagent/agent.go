package fakeagent

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// describer answers for all topics, on every agent.
type describer struct {
	streamhousev1.UnimplementedTopicServiceServer
	cluster *Cluster
}

// DescribeTopic is the one call that producers make.
func (d *describer) DescribeTopic(_ context.Context, req *streamhousev1.DescribeTopicRequest) (*streamhousev1.DescribeTopicResponse, error) {
	c := d.cluster
	c.mu.Lock()
	c.mu.described++
	refuse := c.mu.describe
	c.mu.Unlock()
	if refuse != nil {
		if err := refuse(req.GetName()); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.mu.topics[req.GetName()]
	if t == nil {
		return nil, reason.New(reason.UnknownTopic, "no topic %q: create it first", req.GetName())
	}
	resp := &streamhousev1.DescribeTopicResponse{
		Topic: &streamhousev1.Topic{Name: t.name, Id: t.id, PartitionCount: uint32(len(t.owners))},
	}
	for i, owner := range t.owners {
		resp.Partitions = append(resp.Partitions, &streamhousev1.Partition{Partition: uint32(i), Owner: owner, Address: Address(owner)})
	}
	return resp, nil
}

// agent is one server.
type agent struct {
	streamhousev1.UnimplementedProducerServiceServer
	cluster  *Cluster
	name     string
	server   *grpc.Server
	listener *bufconn.Listener
	done     chan struct{} // closed when the agent is killed
}

// call is one stream.
type call struct {
	agent   *agent
	number  int
	stream  grpc.BidiStreamingServer[streamhousev1.ProduceStreamRequest, streamhousev1.ProduceStreamResponse]
	answers chan *streamhousev1.ProduceAnswer
	end     chan error // capacity 1: why the stream ends
	ended   chan struct{}

	lanes map[lane]chan *streamhousev1.ProduceBatch // the receiver's
}

type lane struct{ topic, partition uint32 }

// laneDepth is more than any producer has in flight per partition.
const laneDepth = 256

// ProduceStream hands the batches of every partition to a goroutine of their
// own, so that partitions do not wait for each other, as in a real agent.
func (a *agent) ProduceStream(stream grpc.BidiStreamingServer[streamhousev1.ProduceStreamRequest, streamhousev1.ProduceStreamResponse]) error {
	a.cluster.mu.Lock()
	a.cluster.mu.streams++
	c := &call{
		agent: a, number: a.cluster.mu.streams, stream: stream,
		answers: make(chan *streamhousev1.ProduceAnswer), end: make(chan error, 1), ended: make(chan struct{}), lanes: map[lane]chan *streamhousev1.ProduceBatch{},
	}
	a.cluster.mu.Unlock()
	defer close(c.ended)
	a.cluster.wg.Go(c.receive)
	for {
		select {
		case answer := <-c.answers:
			// An error means that the stream is gone, which the receiver notices.
			_ = stream.Send(&streamhousev1.ProduceStreamResponse{Answers: []*streamhousev1.ProduceAnswer{answer}})
		case err := <-c.end:
			return err
		}
	}
}

func (c *call) finish(err error) {
	select {
	case c.end <- err:
	default:
	}
}

func (c *call) receive() {
	defer func() {
		for _, queue := range c.lanes {
			close(queue)
		}
	}()
	for {
		req, err := c.stream.Recv()
		if err != nil {
			c.finish(err)
			return
		}
		c.agent.cluster.noteRequest(req)
		for _, b := range req.GetBatches() {
			key := lane{topic: b.GetTopicId(), partition: b.GetPartition()}
			queue := c.lanes[key]
			if queue == nil {
				queue = make(chan *streamhousev1.ProduceBatch, laneDepth)
				c.lanes[key] = queue
				c.agent.cluster.wg.Go(func() { c.serve(queue) })
			}
			queue <- b
		}
	}
}

func (c *Cluster) noteRequest(req *streamhousev1.ProduceStreamRequest) {
	size := 0
	for _, b := range req.GetBatches() {
		size += len(b.GetBatch())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.largest = max(c.mu.largest, size)
}

func (c *call) serve(queue chan *streamhousev1.ProduceBatch) {
	for b := range queue {
		c.handle(b)
	}
}

// handle does with one batch what the script says.
func (c *call) handle(b *streamhousev1.ProduceBatch) {
	cl := c.agent.cluster
	at, script := cl.attempt(c, b)
	var r Reply
	if script != nil {
		r = script(at)
	}
	c.pause(r)
	if at.Late && !r.Append {
		return
	}
	base, refused := uint64(0), r.Err
	if refused == nil && !r.Silent && r.Break == nil || r.Append {
		var err *reason.Error
		if base, err = cl.append(c.agent.name, b); refused == nil {
			refused = err
		}
	}
	if r.Break != nil {
		c.finish(r.Break)
		return
	}
	if !r.Silent {
		c.answer(b.GetRequestId(), base, refused)
	}
}

func (c *call) pause(r Reply) {
	if r.Delay > 0 {
		timer := time.NewTimer(r.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.agent.done:
		}
	}
	if r.Wait != nil {
		select {
		case <-r.Wait:
		case <-c.agent.done:
		}
	}
}

func (c *call) answer(id, base uint64, err *reason.Error) {
	a := &streamhousev1.ProduceAnswer{RequestId: id, BaseOffset: base}
	if err != nil {
		a.Error = reason.ToProto(err)
	}
	select {
	case c.answers <- a:
	case <-c.ended:
	}
}

func (c *Cluster) attempt(from *call, b *streamhousev1.ProduceBatch) (*Attempt, func(*Attempt) Reply) {
	h, _ := batch.ParseHeader(b.GetBatch()) // a bad one is refused when it is appended
	at := &Attempt{Agent: from.agent.name, Stream: from.number, Partition: b.GetPartition(), Header: h, Data: b.GetBatch()}
	select {
	case <-from.ended:
		at.Late = true
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.byID(b.GetTopicId()); t != nil {
		at.Topic = t.name
	}
	key := fmt.Sprint(b.GetTopicId(), "/", b.GetPartition(), "/", h.ProducerID, "/", h.Sequence)
	c.mu.tries[key]++
	at.Try = c.mu.tries[key]
	return at, c.mu.script
}

func (c *Cluster) byID(id uint32) *topic {
	for _, t := range c.mu.topics {
		if t.id == id {
			return t
		}
	}
	return nil
}

// append is what an agent does that may be the owner.
func (c *Cluster) append(agent string, b *streamhousev1.ProduceBatch) (uint64, *reason.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.byID(b.GetTopicId())
	if t == nil || int(b.GetPartition()) >= len(t.owners) {
		return 0, reason.New(reason.UnknownTopic, "no topic with id %d and partition %d", b.GetTopicId(), b.GetPartition())
	}
	if owner := t.owners[b.GetPartition()]; owner != agent {
		return 0, reason.New(reason.NotOwner, "partition %d of %s belongs to %s", b.GetPartition(), t.name, owner).With(reason.MetaOwner, Address(owner))
	}
	return t.logs[b.GetPartition()].append(b.GetBatch())
}

// Status makes an error for Reply.Break.
func Status(code codes.Code, message string) error { return status.Error(code, message) }
