package producertest

import (
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
)

// pingsAllowed is the interval of pings that agents allow.
const pingsAllowed = 5 * time.Second

// agent is one server.
type agent struct {
	streamhousev1.UnimplementedProducerServiceServer
	cluster  *Cluster
	name     string
	server   *grpc.Server
	network  *network
	draining chan struct{} // closed when the agent takes no more
	drainNow func()
	done     chan struct{} // closed when the agent is killed
}

func newAgent(c *Cluster, name string) *agent {
	a := &agent{cluster: c, name: name, network: newNetwork(), draining: make(chan struct{}), done: make(chan struct{})}
	a.drainNow = sync.OnceFunc(func() { close(a.draining) })
	a.server = grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(wire.MaxMessageSize),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAllowed, PermitWithoutStream: true}),
	}, c.options...)...)
	streamhousev1.RegisterProducerServiceServer(a.server, a)
	streamhousev1.RegisterTopicServiceServer(a.server, &describer{agent: a})
	return a
}

// run serves until kill.
func (a *agent) run() { _ = a.server.Serve(a.network) }

func (a *agent) kill() {
	close(a.done)
	_ = a.network.Close() // wakes what is isolated
	a.server.Stop()
}

func (a *agent) drain() { a.drainNow() }

func (a *agent) isDraining() bool {
	select {
	case <-a.draining:
		return true
	default:
		return false
	}
}

// ProduceStream hands the batches of every partition to a goroutine of their
// own, so that partitions do not wait for each other, as in a real agent.
func (a *agent) ProduceStream(stream grpc.BidiStreamingServer[streamhousev1.ProduceStreamRequest, streamhousev1.ProduceStreamResponse]) error {
	c := &call{
		agent: a, number: a.cluster.noteStream(), stream: stream, lanes: map[lane]chan arrived{},
		answers: make(chan *streamhousev1.ProduceAnswer), end: make(chan error, 1), ended: make(chan struct{}),
	}
	c.work.idle = sync.NewCond(&c.work)
	if p, ok := peer.FromContext(stream.Context()); ok {
		c.remote = p.Addr.String()
	}
	defer close(c.ended)
	a.cluster.wg.Go(c.receive)
	a.cluster.wg.Go(c.finishWhenDrained)
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

func (c *Cluster) noteStream() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.counts.Streams++
	return c.mu.counts.Streams
}

func (c *Cluster) noteRequest(req *streamhousev1.ProduceStreamRequest) {
	size := 0
	for _, b := range req.GetBatches() {
		size += len(b.GetBatch())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.counts.LargestRequest = max(c.mu.counts.LargestRequest, size)
}

func errDraining(agent string) error {
	return reason.New(reason.Draining, "agent %s is shutting down", agent)
}
