package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// service stands for the agent's own services.
type service struct {
	streamhousev1.UnimplementedProducerServiceServer
	produce func(context.Context, *streamhousev1.ProduceRequest) (*streamhousev1.ProduceResponse, error)
	stream  func(grpc.ServerStream) error
}

func (s *service) Produce(ctx context.Context, r *streamhousev1.ProduceRequest) (*streamhousev1.ProduceResponse, error) {
	return s.produce(ctx, r)
}

func (s *service) ProduceStream(stream streamhousev1.ProducerService_ProduceStreamServer) error {
	return s.stream(stream)
}

// answer makes a Produce that answers at once.
func answer(offset uint64) func(context.Context, *streamhousev1.ProduceRequest) (*streamhousev1.ProduceResponse, error) {
	return func(context.Context, *streamhousev1.ProduceRequest) (*streamhousev1.ProduceResponse, error) {
		return &streamhousev1.ProduceResponse{BaseOffset: offset}, nil
	}
}

// fixture is a served Server in the process's memory.
type fixture struct {
	*Server
	t      *testing.T
	pipes  map[string]*bufconn.Listener
	logs   syncBuffer
	served chan error
	cancel context.CancelFunc
}

// start serves one listener per service.
func start(t *testing.T, config *tls.Config, services map[string]*service) *fixture {
	t.Helper()
	f := &fixture{t: t, pipes: map[string]*bufconn.Listener{}, served: make(chan error, 1)}
	opts := Options{
		TLS: config, Logger: slog.New(slog.NewTextHandler(&f.logs, nil)),
		Register: func(listener string, s *grpc.Server) {
			streamhousev1.RegisterProducerServiceServer(s, services[listener])
		},
	}
	for name := range services {
		f.pipes[name] = bufconn.Listen(1 << 20)
		opts.Listeners = append(opts.Listeners, Listener{Name: name, Listener: f.pipes[name]})
	}
	var err error
	if f.Server, err = New(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go func() { f.served <- f.Serve(ctx) }()
	t.Cleanup(cancel)
	return f
}

func (f *fixture) dial(listener string, opts ...grpc.DialOption) *grpc.ClientConn {
	f.t.Helper()
	opts = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return f.pipes[listener].DialContext(ctx)
		}),
	}, opts...)
	conn, err := grpc.NewClient("passthrough:///agent", opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (f *fixture) producer() streamhousev1.ProducerServiceClient {
	f.t.Helper()
	return streamhousev1.NewProducerServiceClient(f.dial("internal"))
}

// end stops the server and checks how Serve returns.
func (f *fixture) end(limit time.Duration) error {
	f.t.Helper()
	err := f.Stop(limit)
	if served := <-f.served; served != nil {
		f.t.Errorf("Serve returned %v after Stop", served)
	}
	return err
}

// syncBuffer is a bytes.Buffer that is safe for concurrent use.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
