package producer_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
)

// tlsAgents is a cluster of two agents on loopback: the first is the target, the
// second owns the topic's partition and is advertised by its IP address.
type tlsAgents struct {
	blackHole
	target, owner string
	metadata      atomic.Pointer[metadata.MD] // of the latest call
}

func startTLSAgents(t *testing.T, cfg *tls.Config) *tlsAgents {
	t.Helper()
	a := &tlsAgents{}
	for _, address := range []*string{&a.target, &a.owner} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*address = listener.Addr().String()
		server := grpc.NewServer(grpc.Creds(credentials.NewTLS(cfg)), grpc.ForceServerCodecV2(wire.Codec()))
		streamhousev1.RegisterProducerServiceServer(server, a)
		streamhousev1.RegisterTopicServiceServer(server, a)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.Serve(listener) // it ends by Stop
		}()
		t.Cleanup(func() {
			server.Stop()
			<-done
		})
	}
	return a
}

func (a *tlsAgents) DescribeTopic(ctx context.Context, req *streamhousev1.DescribeTopicRequest) (*streamhousev1.DescribeTopicResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	a.metadata.Store(&md)
	return &streamhousev1.DescribeTopicResponse{
		Topic:      &streamhousev1.Topic{Name: req.GetName(), Id: 1, PartitionCount: 1},
		Partitions: []*streamhousev1.Partition{{Address: a.owner}},
	}, nil
}

func (a *tlsAgents) send(t *testing.T, opts ...producer.Option) error {
	t.Helper()
	base := options(producer.WithTopic(topic), producer.WithLinger(0), producer.WithDeliveryTimeout(700*time.Millisecond))
	p, err := producer.New(t.Context(), a.target, append(base, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Send(t.Context(), producer.Record{})
	if closed := p.Close(t.Context()); closed != nil {
		t.Error(closed)
	}
	return err
}

// Agents are dialled by IP and verified by the cluster's name.
func TestServerName(t *testing.T) {
	server, roots := certificate(t, "agents.streamhouse.internal")
	a := startTLSAgents(t, &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS13})
	cfg := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
	if err := a.send(t, producer.WithTLS(cfg), producer.WithServerName("agents.streamhouse.internal")); err != nil {
		t.Errorf("with the cluster's name: %v", err)
	}
	if err := a.send(t, producer.WithTLS(cfg)); err == nil || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("an IP address that the certificate is not for: %v", err)
	}
	if err := a.send(t, producer.WithTLS(cfg), producer.WithServerName("elsewhere.internal")); err == nil || !strings.Contains(err.Error(), "elsewhere.internal") {
		t.Errorf("another name: %v", err)
	}
	if cfg.ServerName != "" {
		t.Error("the caller's config was changed")
	}
}

// With mutual TLS the cluster's name and the client's certificate go together.
func TestMutualTLSByServerName(t *testing.T) {
	server, roots := certificate(t, "agents.streamhouse.internal")
	client, clients := certificate(t, "client")
	a := startTLSAgents(t, &tls.Config{
		Certificates: []tls.Certificate{server}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	})
	name := producer.WithServerName("agents.streamhouse.internal")
	cfg := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
	if err := a.send(t, producer.WithTLS(cfg), name); err == nil {
		t.Error("a client without a certificate was served")
	}
	cfg.Certificates = []tls.Certificate{client}
	if err := a.send(t, producer.WithTLS(cfg), name); err != nil {
		t.Error(err)
	}
}

// secureToken is for encrypted connections only.
type secureToken struct{ token }

func (secureToken) RequireTransportSecurity() bool { return true }

// Credentials that need TLS are sent over it, and never without.
func TestCredentialsThatNeedTLS(t *testing.T) {
	_, err := producer.New(t.Context(), "localhost:1", producer.WithPerRPCCredentials(secureToken{}))
	if err == nil || !strings.Contains(err.Error(), "WithPerRPCCredentials: these credentials are for encrypted connections only: add WithTLS") {
		t.Errorf("plaintext: %v", err)
	}
	server, roots := certificate(t, "agents.streamhouse.internal")
	a := startTLSAgents(t, &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS13})
	if err := a.send(t, producer.WithPerRPCCredentials(secureToken{}), producer.WithServerName("agents.streamhouse.internal"),
		producer.WithTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13})); err != nil {
		t.Fatal(err)
	}
	md := *a.metadata.Load()
	if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer t" {
		t.Errorf("authorization: %v", got)
	}
	if got := md.Get("user-agent"); len(got) != 1 || !strings.HasPrefix(got[0], "streamhouse-producer-go/devel grpc-go/") {
		t.Errorf("user agent: %v", got)
	}
}
