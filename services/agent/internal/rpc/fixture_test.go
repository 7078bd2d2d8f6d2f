package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
)

// agent is the services of one host, served over a pipe in memory. It lives in
// a bubble, and all of it is gone when the test ends.
type agent struct {
	*Services
	t        *testing.T
	injector *faults.Injector
	objects  objstore.Store // without faults
	conn     *grpc.ClientConn
	produce  streamhousev1.ProducerServiceClient
	consume  streamhousev1.ConsumerServiceClient
	manage   streamhousev1.TopicServiceClient
	topic    *streamhousev1.Topic
}

var errEnd = errors.New("the test ended")

func serve(t *testing.T, plan faults.Plan) *agent {
	t.Helper()
	a := &agent{t: t, injector: faults.New(plan), objects: memory.NewObjects()}
	rows, objects := a.injector.Rows(memory.NewRows()), a.injector.Objects(a.objects)
	counts := &stats.Stats{}
	catalog := topics.New(rows, 100)
	a.Services = New(Options{Release: "test", MaxBatchBytes: 10 << 20}, catalog, rows, counts)
	h, err := host.Start(t.Context(), host.Options{
		Session: session.Options{Agent: "a", Heartbeat: time.Second, Lease: 10 * time.Minute},
		Flush: flush.Options{
			Bytes: 1 << 20, Age: 10 * time.Millisecond, Concurrency: 4, BufferBytes: 256 << 20,
			MaxProducers: 100, AckTimeout: 30 * time.Second, PutTimeout: 10 * time.Second,
		},
		CacheBytes: 1 << 24,
	}, host.Deps{
		Objects: objects, Rows: rows, Catalog: catalog, Counters: counts,
		Exclusive: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancelCause(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	a.SetHost(h)
	a.connect(func() {
		kill(errEnd)
		if err := <-ended; !errors.Is(err, errEnd) {
			t.Errorf("the host ended with %v", err)
		}
	})
	created, err := a.manage.CreateTopic(t.Context(), &streamhousev1.CreateTopicRequest{Name: "t", PartitionCount: 3})
	if err != nil {
		t.Fatal(err)
	}
	a.topic = created.GetTopic()
	return a
}

func (a *agent) connect(end func()) {
	a.t.Helper()
	pipe := bufconn.Listen(1 << 20)
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(wire.Codec()), grpc.MaxRecvMsgSize(wire.MaxMessageSize), grpc.MaxSendMsgSize(wire.MaxMessageSize),
	)
	a.Register(server, "internal", func() string { return "here:1" })
	served := make(chan error, 1)
	go func() { served <- server.Serve(pipe) }()
	conn, err := grpc.NewClient("passthrough:///agent", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessageSize), grpc.ForceCodecV2(wire.Codec())),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	if err != nil {
		a.t.Fatal(err)
	}
	a.conn = conn
	a.produce = streamhousev1.NewProducerServiceClient(conn)
	a.consume = streamhousev1.NewConsumerServiceClient(conn)
	a.manage = streamhousev1.NewTopicServiceClient(conn)
	a.t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			a.t.Errorf("serve: %v", err)
		}
		a.Wait()
		end()
		a.injector.Wait()
	})
}

// encode makes a batch of n records, of size bytes each.
func encode(producer, seq uint64, n, size int) []byte {
	var b batch.Builder
	for range n {
		b.Append(&batch.Record{Value: make([]byte, size), Timestamp: 1})
	}
	return b.Seal(producer, seq)
}

// damaged is a batch whose checksum does not fit.
func damaged() []byte {
	b := encode(9, 0, 1, 10)
	b[len(b)-1] ^= 1
	return b
}

// stream is a producer's stream in its raw form.
type stream struct {
	grpc.ClientStream
	t *testing.T
}

func (a *agent) stream() *stream {
	a.t.Helper()
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	s, err := a.conn.NewStream(a.t.Context(), desc, streamhousev1.ProducerService_ProduceStream_FullMethodName)
	if err != nil {
		a.t.Fatal(err)
	}
	return &stream{s, a.t}
}

func (s *stream) send(batches ...wire.Batch) {
	s.t.Helper()
	if err := s.SendMsg(&wire.Request{Batches: batches}); err != nil {
		s.t.Fatal(err)
	}
}

// receive returns the next n answers.
func (s *stream) receive(n int) (all []wire.Answer) {
	s.t.Helper()
	for len(all) < n {
		var m wire.Answers
		if err := s.RecvMsg(&m); err != nil {
			s.t.Fatalf("after %d answers of %d: %v", len(all), n, err)
		}
		all = append(all, m.Answers...)
	}
	if len(all) > n {
		s.t.Fatalf("%d answers, want %d: %v", len(all), n, all)
	}
	return all
}

// end expects that no answer comes any more, and returns the stream's status.
func (s *stream) end() error {
	s.t.Helper()
	var m wire.Answers
	err := s.RecvMsg(&m)
	if err == nil {
		s.t.Fatalf("there are more answers: %v", m.Answers)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// is tells whether an answer carries a reason; "" is a success.
func is(a wire.Answer, want reason.Reason) bool {
	e := reason.FromProto(a.Err)
	if e == nil {
		return want == ""
	}
	return want != "" && errors.Is(e, want)
}

func (a *agent) append(partition uint32, b []byte) uint64 {
	a.t.Helper()
	s := a.stream()
	s.send(wire.Batch{RequestID: 1, TopicID: a.topic.GetId(), Partition: partition, Data: b})
	answer := s.receive(1)[0]
	if answer.Err != nil {
		a.t.Fatal(answer.Err)
	}
	if err := s.CloseSend(); err != nil {
		a.t.Fatal(err)
	}
	if err := s.end(); err != nil {
		a.t.Fatal(err)
	}
	return answer.BaseOffset
}
