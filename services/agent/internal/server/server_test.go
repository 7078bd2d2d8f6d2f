package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
)

// Each listener has its own services, so that metadata can name the addresses
// that fit the client's network.
func TestListenersAnswerApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {produce: answer(1)}, "external": {produce: answer(2)}})
		for name, want := range map[string]uint64{"internal": 1, "external": 2} {
			client := streamhousev1.NewProducerServiceClient(f.dial(name))
			got, err := client.Produce(t.Context(), &streamhousev1.ProduceRequest{})
			if err != nil || got.GetBaseOffset() != want {
				t.Errorf("%s answered %v, %v; want %d", name, got, err, want)
			}
		}
		if err := f.end(time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// Addresses are known before anything is served, and a failed New leaves none
// of them taken.
func TestAddresses(t *testing.T) {
	opts := Options{
		Listeners: []Listener{{Name: "internal", Address: "127.0.0.1:0"}, {Name: "external", Address: "127.0.0.1:0"}},
		Register:  func(string, *grpc.Server) {}, Logger: slog.New(slog.DiscardHandler),
	}
	s, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	taken := s.Addr("external")
	if _, port, err := net.SplitHostPort(taken); err != nil || port == "0" || taken == s.Addr("internal") {
		t.Errorf("external is bound to %q, internal to %q", taken, s.Addr("internal"))
	}
	if got := s.Addr("unheard"); got != "" {
		t.Errorf("an unknown listener is at %q", got)
	}

	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	opts.Listeners = []Listener{{Name: "internal", Address: free.Addr().String()}, {Name: "external", Address: taken}}
	if _, err := New(t.Context(), opts); err == nil || !strings.Contains(err.Error(), `open listener "external"`) {
		t.Errorf("a taken address gave %v", err)
	}
	if err := s.Stop(time.Minute); err != nil { // never served
		t.Error(err)
	}
	again, err := New(t.Context(), opts)
	if err != nil {
		t.Fatalf("an address of a stopped server, or of one that failed to start, is still taken: %v", err)
	}
	if err := again.Stop(time.Minute); err != nil {
		t.Error(err)
	}
}

// Clients are told the host by its name, since that is what a certificate
// holds, with the port that was taken, unless the operator knows better.
func TestAdvertised(t *testing.T) {
	s, err := New(t.Context(), Options{
		Listeners: []Listener{
			{Name: "internal", Address: "localhost:0"},
			{Name: "external", Address: "127.0.0.1:0", Advertise: "agent.example.com:443"},
			{Name: "test", Listener: bufconn.Listen(1)},
		},
		Register: func(string, *grpc.Server) {}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.cut()
	_, port, err := net.SplitHostPort(s.Addr("internal"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"internal": "localhost:" + port, "external": "agent.example.com:443", "test": "bufconn"}
	if got := s.Advertised(); !maps.Equal(got, want) {
		t.Errorf("advertised %v, want %v", got, want)
	}
}

// The forced codec hands the stream's handler gRPC's own buffers, while the
// other end is a plain protobuf client.
func TestCodec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {stream: func(stream grpc.ServerStream) error {
			var arrival wire.Arrival
			if err := stream.RecvMsg(&arrival); err != nil {
				return err
			}
			defer arrival.Free()
			b := arrival.Batches[0]
			return stream.SendMsg(&wire.Answers{Answers: []wire.Answer{{RequestID: b.RequestID, BaseOffset: uint64(b.Size)}}})
		}}})
		stream, err := f.producer().ProduceStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		batch := &streamhousev1.ProduceBatch{RequestId: 7, Batch: make([]byte, 300_000)}
		if err := stream.Send(&streamhousev1.ProduceStreamRequest{Batches: []*streamhousev1.ProduceBatch{batch}}); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil || got.GetAnswers()[0].GetRequestId() != 7 || got.GetAnswers()[0].GetBaseOffset() != 300_000 {
			t.Errorf("answered %v, %v", got, err)
		}
	})
}

// A message of 16 MiB passes; a larger one is refused by gRPC, not buffered.
func TestMessageSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {produce: answer(1)}})
		for size, want := range map[int]codes.Code{wire.MaxMessageSize - 100: codes.OK, wire.MaxMessageSize + 1: codes.ResourceExhausted} {
			records := []*streamhousev1.Record{{Value: make([]byte, size)}}
			_, err := f.producer().Produce(t.Context(), &streamhousev1.ProduceRequest{Records: records})
			if status.Code(err) != want {
				t.Errorf("%d bytes: %v, want %s", size, err, want)
			}
		}
	})
}

// A panic ends its call alone, and is found in the log with its stack.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {
			produce: func(context.Context, *streamhousev1.ProduceRequest) (*streamhousev1.ProduceResponse, error) {
				panic("unary fault")
			},
			stream: func(grpc.ServerStream) error { panic(errors.New("stream fault")) },
		}})
		client := f.producer()
		if _, err := client.Produce(t.Context(), &streamhousev1.ProduceRequest{}); status.Code(err) != codes.Internal {
			t.Errorf("Produce: %v, want INTERNAL", err)
		}
		stream, err := client.ProduceStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.Internal {
			t.Errorf("ProduceStream: %v, want INTERNAL", err)
		}
		for _, want := range []string{"unary fault", "stream fault", "ProducerService/Produce", "server_test.go"} {
			if !strings.Contains(f.logs.String(), want) {
				t.Errorf("%q is missing in the log:\n%s", want, f.logs.String())
			}
		}
	})
}

// Clients that ping every 10 s, also without calls, keep their connection.
// gRPC's own policy would end it at the third ping.
func TestPingsAreTolerated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {produce: answer(1)}})
		conn := f.dial("internal", grpc.WithKeepaliveParams(
			keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}))
		if _, err := streamhousev1.NewProducerServiceClient(conn).Produce(t.Context(), &streamhousev1.ProduceRequest{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if conn.WaitForStateChange(ctx, connectivity.Ready) {
			t.Errorf("the connection became %s", conn.GetState())
		}
	})
}

func TestTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	f := start(t, &tls.Config{Certificates: web.TLS.Certificates, MinVersion: tls.VersionTLS12},
		map[string]*service{"internal": {produce: answer(1)}})
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	secure := f.dial("internal", grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "example.com"})))
	if _, err := streamhousev1.NewProducerServiceClient(secure).Produce(t.Context(), &streamhousev1.ProduceRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := f.producer().Produce(t.Context(), &streamhousev1.ProduceRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a plaintext client got %v", err)
	}
}

// A listener that breaks ends Serve, so that the process does not live on deaf.
func TestBrokenListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {}, "external": {}})
		synctest.Wait()
		f.pipes["external"].Close()
		if err := <-f.served; err == nil || !strings.Contains(err.Error(), `serve on listener "external"`) {
			t.Errorf("Serve returned %v", err)
		}
		if _, err := f.pipes["internal"].Dial(); err == nil {
			t.Error("the other listener is still open")
		}
	})
}
