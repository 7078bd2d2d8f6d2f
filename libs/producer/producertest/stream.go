package producertest

import (
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// call is one stream.
type call struct {
	agent   *agent
	number  int
	remote  string // the client's address
	stream  grpc.BidiStreamingServer[streamhousev1.ProduceStreamRequest, streamhousev1.ProduceStreamResponse]
	answers chan *streamhousev1.ProduceAnswer
	end     chan error // capacity 1: why the stream ends
	ended   chan struct{}

	lanes map[lane]chan arrived // the receiver's

	work struct {
		sync.Mutex
		idle    *sync.Cond
		batches int // that came in and are not dealt with
	}
}

type lane struct{ topic, partition uint32 }

type arrived struct {
	*streamhousev1.ProduceBatch
	number int
}

// laneDepth is more than any producer has in flight per partition.
const laneDepth = 256

func (c *call) finish(err error) {
	select {
	case c.end <- err:
	default:
	}
}

// finishWhenDrained ends the stream once the agent takes no more and what it
// took is dealt with.
func (c *call) finishWhenDrained() {
	select {
	case <-c.agent.draining:
	case <-c.ended:
		return
	}
	c.work.Lock()
	for c.work.batches > 0 {
		c.work.idle.Wait()
	}
	c.work.Unlock()
	c.finish(errDraining(c.agent.name))
}

func (c *call) begin() {
	c.work.Lock()
	defer c.work.Unlock()
	c.work.batches++
}

func (c *call) done() {
	c.work.Lock()
	defer c.work.Unlock()
	c.work.batches--
	c.work.idle.Signal()
}

func (c *call) receive() {
	defer func() {
		for _, queue := range c.lanes {
			close(queue)
		}
	}()
	for number := 0; ; {
		req, err := c.stream.Recv()
		if err != nil {
			c.finish(err)
			return
		}
		c.agent.cluster.noteRequest(req)
		for _, b := range req.GetBatches() {
			number++
			c.begin()
			c.lane(b) <- arrived{b, number}
		}
	}
}

func (c *call) lane(b *streamhousev1.ProduceBatch) chan arrived {
	key := lane{topic: b.GetTopicId(), partition: b.GetPartition()}
	queue := c.lanes[key]
	if queue == nil {
		queue = make(chan arrived, laneDepth)
		c.lanes[key] = queue
		c.agent.cluster.wg.Go(func() {
			for b := range queue {
				c.handle(b)
				c.done()
			}
		})
	}
	return queue
}

// handle does with one batch what the script says.
func (c *call) handle(b arrived) {
	at, script := c.attempt(b)
	var r Reply
	if script != nil {
		r = script(at)
	}
	c.pause(r)
	if at.Late && !r.Append {
		return
	}
	base, refused := uint64(0), r.Err
	if r.proceeds() || r.Append {
		var err *reason.Error
		if base, err = c.agent.cluster.append(c.agent, b.ProduceBatch); refused == nil {
			refused = err
		}
	}
	switch {
	case r.Reset:
		c.agent.network.reset(c.remote)
	case r.Break != nil:
		c.finish(r.Break)
	case !r.Silent:
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

func (c *call) attempt(b arrived) (*Attempt, func(*Attempt) Reply) {
	h, _ := batch.ParseHeader(b.GetBatch()) // a bad one is refused when it is appended
	at := &Attempt{Agent: c.agent.name, Stream: c.number, Number: b.number, Partition: b.GetPartition(), Header: h, Data: b.GetBatch()}
	select {
	case <-c.ended:
		at.Late = true
	default:
	}
	cl := c.agent.cluster
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if t := cl.byIDLocked(b.GetTopicId()); t != nil {
		at.Topic = t.name
	}
	id := identity{topic: b.GetTopicId(), partition: b.GetPartition(), producer: h.ProducerID, sequence: h.Sequence}
	cl.mu.tries[id]++
	at.Try = cl.mu.tries[id]
	return at, cl.mu.script
}
