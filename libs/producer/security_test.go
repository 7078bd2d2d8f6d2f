package producer_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
)

// certificate makes one for name that signs itself, and the pool that trusts it.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// Mutual TLS against the name of the cluster, though agents are dialled by
// other addresses. A client without a certificate is refused, and says so.
func TestMutualTLS(t *testing.T) {
	server, serverPool := certificate(t, "agents.internal")
	client, clientPool := certificate(t, "client")
	c := producertest.New(t, producertest.ServerOptions(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{server}, ClientCAs: clientPool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}))))
	c.CreateTopic(topic, "a")
	cfg := &tls.Config{RootCAs: serverPool, ServerName: "agents.internal", MinVersion: tls.VersionTLS13}
	send := func(cfg *tls.Config) error {
		p, err := producer.New(t.Context(), producertest.Address("a"), producer.WithTLS(cfg),
			producer.WithDialOptions(c.Dialer()), producer.WithTopic(topic), producer.WithDeliveryTimeout(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Send(t.Context(), producer.Record{})
		if closed := p.Close(t.Context()); closed != nil {
			t.Error(closed)
		}
		return err
	}
	if err := send(cfg); err == nil {
		t.Error("a client without a certificate was served")
	}
	cfg.Certificates = []tls.Certificate{client}
	if err := send(cfg); err != nil {
		t.Error(err)
	}
	cfg.ServerName = "elsewhere.internal"
	if err := send(cfg); err == nil || !strings.Contains(err.Error(), "elsewhere.internal") {
		t.Errorf("an agent with another name was trusted: %v", err)
	}
}

type token struct{}

func (token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer t"}, nil
}

func (token) RequireTransportSecurity() bool { return false }

// Every call carries the credentials and says which library makes it.
func TestCallsCarryCredentialsAndUserAgent(t *testing.T) {
	check := func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer t" {
			return status.Errorf(16, "authorization %v", got)
		}
		if got := md.Get("user-agent"); len(got) != 1 || !strings.HasPrefix(got[0], "streamhouse-producer-go") {
			return status.Errorf(7, "user agent %v", got)
		}
		return nil
	}
	c := producertest.New(t, producertest.ServerOptions(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := check(ctx); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := check(s.Context()); err != nil {
				return err
			}
			return next(srv, s)
		})))
	c.CreateTopic(topic, "a")
	p, err := producer.New(t.Context(), producertest.Address("a"), producer.WithPerRPCCredentials(token{}), producer.WithDialOptions(c.Dialer()), producer.WithLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(t.Context(), producer.Record{Topic: topic}); err != nil {
		t.Error(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// What the library mends by itself, and what it gives up, is in the log.
func TestLogger(t *testing.T) {
	var out syncBuffer
	inWorld(t, single(producer.WithLogger(slog.New(slog.NewTextHandler(&out, nil)))), func(w *world) {
		w.send(0, 0)
		w.flush()
		w.cluster.Kill("a")
		w.send(1, 1)
		w.flushFailing(producer.ErrDeliveryTimeout)
		for _, want := range []string{"stream to agent lost", "topic could not be described", "batch failed", "records=1", "connection refused"} {
			if !strings.Contains(out.String(), want) {
				w.Errorf("the log does not say %q", want)
			}
		}
	})
}
