package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/certificate"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// tlsFiles are what an agent's flags name.
type tlsFiles struct{ dir, cert, key string }

func writeTLS(t *testing.T, dir string, pair certificate.Pair) tlsFiles {
	t.Helper()
	return tlsFiles{
		dir:  dir,
		cert: certificate.Write(t, dir, "cert.pem", pair.Cert),
		key:  certificate.Write(t, dir, "key.pem", pair.Key),
	}
}

func (f tlsFiles) flags() []string {
	return []string{"--tls-cert-file", f.cert, "--tls-key-file", f.key}
}

// list makes one call on a fresh connection.
func list(t *testing.T, a *process.Agent, cfg *tls.Config) error {
	t.Helper()
	var opts []grpc.DialOption
	if cfg != nil {
		opts = append(opts, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	}
	_, err := a.Client(opts...).Topics.ListTopics(t.Context(), &streamhousev1.ListTopicsRequest{})
	return err
}

// TLS from files, through the library and the command line tool. Who does not
// trust the agent, or speaks plaintext to it, gets nowhere.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := certificate.NewAuthority(t, "ours")
	dir := t.TempDir()
	files := writeTLS(t, dir, ca.Server())
	caFile := certificate.Write(t, dir, "ca.pem", ca.PEM())
	a := process.StartAgent(t, append(files.flags(), noCeiling)...)
	a.Succeed("topic", "create", "secret", "--tls-ca", caFile)
	p := newProducer(t, a, "secret", producer.WithTLS(ca.Trust()))
	if ack, err := p.Send(t.Context(), producer.Record{Value: []byte("x")}); err != nil || ack.Offset != 0 {
		t.Errorf("send: %+v, %v", ack, err)
	}
	if got := a.Succeed("consume", "secret", "--tls-ca", caFile); got != "x\n" {
		t.Errorf("consume says %q, want x", got)
	}
	requireRefused(t, "plaintext", list(t, a, nil))
	requireRefused(t, "another authority", list(t, a, certificate.NewAuthority(t, "theirs").Trust()))
	old := ca.Trust()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	requireRefused(t, "TLS 1.1", list(t, a, old))
	for _, args := range [][]string{{"topic", "list"}, {"topic", "list", "--tls"}} {
		if got := a.Run(process.Command{Args: args}); got.Code != 1 || !strings.Contains(got.Stderr, "--tls") {
			t.Errorf("%v: exit code %d and %q, want 1 and a word about --tls", args, got.Code, got.Stderr)
		}
	}
}

func requireRefused(t *testing.T, what string, err error) {
	t.Helper()
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%s: %v, want no connection", what, err)
	}
}

// With an authority for clients, only theirs are let in.
func TestMutualTLS(t *testing.T) {
	ca, clients := certificate.NewAuthority(t, "servers"), certificate.NewAuthority(t, "clients")
	server, client := ca.Server(), clients.Client()
	tests := map[string]func() *process.Agent{
		"from files": func() *process.Agent {
			dir := t.TempDir()
			files := writeTLS(t, dir, server)
			return process.NewAgent(t, "", append(files.flags(), noCeiling,
				"--tls-client-ca-file", certificate.Write(t, dir, "clients.pem", clients.PEM()))...)
		},
		"from the environment": func() *process.Agent {
			a := process.NewAgent(t, "", noCeiling)
			a.Env = []string{
				"STREAMHOUSE_TLS_CERT_PEM=" + string(server.Cert), "STREAMHOUSE_TLS_KEY_PEM=" + string(server.Key),
				"STREAMHOUSE_TLS_CLIENT_CA_PEM=" + string(clients.PEM()),
			}
			return a
		},
	}
	for name, agent := range tests {
		t.Run(name, func(t *testing.T) {
			a := agent()
			a.Start()
			if err := list(t, a, ca.Trust(client)); err != nil {
				t.Fatalf("client with a certificate: %v", err)
			}
			requireRefused(t, "no certificate", list(t, a, ca.Trust()))
			requireRefused(t, "a certificate of another authority", list(t, a, ca.Trust(ca.Client())))
			requireRefused(t, "a server's certificate", list(t, a, ca.Trust(clients.Server())))
			dir := t.TempDir()
			mine := writeTLS(t, dir, client)
			flags := []string{"--tls-ca", certificate.Write(t, dir, "ca.pem", ca.PEM()), "--tls-cert", mine.cert, "--tls-key", mine.key}
			a.Succeed(append([]string{"topic", "create", "mutual"}, flags...)...)
			p := newProducer(t, a, "mutual", producer.WithTLS(ca.Trust(client)))
			if _, err := p.Send(t.Context(), producer.Record{Value: []byte("x")}); err != nil {
				t.Errorf("send: %v", err)
			}
		})
	}
}

// A certificate is renewed without a restart: new connections see the new one,
// connections that stand go on. Half of a renewal, and rubbish, change nothing.
func TestCertificateRotation(t *testing.T) {
	t.Parallel()
	before, after := certificate.NewAuthority(t, "before"), certificate.NewAuthority(t, "after")
	files := writeTLS(t, t.TempDir(), before.Server())
	a := process.StartAgent(t, append(files.flags(), noCeiling)...)
	standing := a.Client(grpc.WithTransportCredentials(credentials.NewTLS(before.Trust())))
	if _, err := standing.Topics.CreateTopic(t.Context(), &streamhousev1.CreateTopicRequest{Name: "t", PartitionCount: 1}); err != nil {
		t.Fatal(err)
	}
	certificate.Write(t, files.dir, "key.pem", []byte("rubbish"))
	time.Sleep(1100 * time.Millisecond) // the agent looks at its files once a second
	for range 2 {
		if err := list(t, a, before.Trust()); err != nil {
			t.Errorf("with a broken key file: %v, want what was loaded before", err)
		}
	}
	writeTLS(t, files.dir, after.Server())
	eventually(t, "new connections see the new certificate", func() bool { return handshake(t, a, after) == nil })
	if err := handshake(t, a, before); err == nil {
		t.Error("a connection made now still sees the old certificate")
	}
	if _, err := standing.Topics.DescribeTopic(t.Context(), &streamhousev1.DescribeTopicRequest{Name: "t"}); err != nil {
		t.Errorf("on the connection that stands: %v", err)
	}
}

func handshake(t *testing.T, a *process.Agent, ca *certificate.Authority) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := ca.Trust()
	cfg.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", a.Addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Plaintext stays on this machine unless somebody asks for more; settings that
// cannot work end the start with a sentence and exit code 2.
func TestUnsafeAndWrongSettings(t *testing.T) {
	t.Parallel()
	ca := certificate.NewAuthority(t, "ours")
	one, two := writeTLS(t, t.TempDir(), ca.Server()), writeTLS(t, t.TempDir(), ca.Server())
	tests := map[string]struct {
		flags []string
		code  int
		says  []string
	}{
		"plaintext for everyone":  {[]string{"--listen=external=0.0.0.0:0", "--advertise=external=localhost:7"}, 2, []string{"plaintext", "--insecure", "--tls-cert-file"}},
		"certificate without key": {[]string{"--tls-cert-file", one.cert}, 2, []string{"--tls-key-file"}},
		"key of another":          {[]string{"--tls-cert-file", one.cert, "--tls-key-file", two.key}, 1, []string{"certificate", "key"}},
		"no such certificate":     {[]string{"--tls-cert-file", filepath.Join(one.dir, "none"), "--tls-key-file", one.key}, 1, []string{"none"}},
		"insecure and TLS":        {append(one.flags(), "--insecure"), 2, []string{"--insecure"}},
		"unknown flag":            {[]string{"--flush-byte=1"}, 2, []string{"--flush-bytes"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireNoStart(t, process.NewAgent(t, "", test.flags...), test.code, test.says...)
		})
	}
	t.Run("plaintext for everyone, allowed", func(t *testing.T) {
		t.Parallel()
		a := process.StartAgent(t, "--listen=external=0.0.0.0:0", "--advertise=external=localhost:7", "--insecure")
		if err := list(t, a, nil); err != nil {
			t.Error(err)
		}
	})
}

// requireNoStart fails unless an agent ends with an exit code and a sentence.
func requireNoStart(t *testing.T, a *process.Agent, code int, says ...string) {
	t.Helper()
	got, said := a.TryStart()
	if got != code {
		t.Fatalf("exit code %d, want %d: %s", got, code, said)
	}
	lines := strings.Split(said, "\n")
	var told []string // what is no log line
	for _, line := range lines {
		if !strings.HasPrefix(line, "time=") {
			told = append(told, line)
		}
	}
	for _, word := range says {
		if !strings.Contains(fmt.Sprint(told), word) {
			t.Errorf("it says %q, want something about %q", told, word)
		}
	}
	if len(told) > 2 {
		t.Errorf("it takes %d lines to say why: %q", len(told), told)
	}
}
