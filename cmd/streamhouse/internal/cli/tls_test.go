package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent"
)

// authority signs certificates into files of a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = a.newKey()
	a.cert = a.sign("ca", template, template, a.key)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

// issue makes name.pem and name.key, for 127.0.0.1 or instead for DNS names.
func (a *authority) issue(name string, dns ...string) {
	key := a.newKey()
	var addresses []net.IP
	if len(dns) == 0 {
		addresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	a.sign(name, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: dns, IPAddresses: addresses,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".key", "PRIVATE KEY", der)
}

func (a *authority) sign(name string, template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name, kind string, der []byte) {
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// startTLSAgent starts an agent that takes only clients of the authority.
func startTLSAgent(t *testing.T, a *authority) string {
	t.Helper()
	made, err := agent.New(agent.Config{
		Listeners: []agent.Listener{{Name: "internal", Address: "127.0.0.1:0"}},
		Store:     agent.StoreConfig{Kind: agent.StoreMemory},
		TLS:       agent.TLSConfig{CertFile: a.path("agent.pem"), KeyFile: a.path("agent.key"), ClientCAFile: a.path("ca.pem")},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- made.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-made.Ready()
	return made.Addr("internal")
}

func TestMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	ca.issue("agent")
	ca.issue("client")
	server := startTLSAgent(t, ca)
	try := func(command string, flags ...string) result {
		args := append(strings.Fields(command), "--server", server)
		return runWith(t.Context(), strings.NewReader("secret\n"), append(args, flags...)...)
	}
	full := []string{"--tls-ca", ca.path("ca.pem"), "--tls-cert", ca.path("client.pem"), "--tls-key", ca.path("client.key")}
	for _, command := range []string{"topic create t", "produce t", "consume t"} {
		r := try(command, full...)
		if r.code != exitOK {
			t.Fatalf("%s: %+v", command, r)
		}
		if command == "consume t" && r.out != "secret\n" {
			t.Errorf("got %q", r.out)
		}
	}
	tests := []struct {
		name  string
		flags []string
		want  string
	}{
		{"plaintext", nil, "wants TLS or another certificate"},
		{"unknown authority", []string{"--tls", "--tls-cert", ca.path("client.pem"), "--tls-key", ca.path("client.key")}, "check --tls-ca"},
		{"no client certificate", full[:2], "--tls"},
		{"no PEM", []string{"--tls-ca", ca.path("client.key")}, "no certificate in PEM form"},
	}
	for _, tt := range tests {
		r := try("topic list", tt.flags...)
		if r.code != exitFailed || !strings.Contains(r.err, tt.want) {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
}

// A certificate for a cluster's name alone is good for every agent at any
// address, once the tool is told the name.
func TestServerName(t *testing.T) {
	const cluster = "agents.streamhouse.internal"
	ca := newAuthority(t)
	ca.issue("agent", cluster)
	ca.issue("client")
	server := startTLSAgent(t, ca)
	flags := []string{
		"--server", server, "--tls-ca", ca.path("ca.pem"), "--tls-cert", ca.path("client.pem"), "--tls-key", ca.path("client.key"),
	}
	for _, command := range []string{"topic create t", "produce t", "consume t"} {
		args := append(strings.Fields(command), flags...)
		for _, name := range [][]string{nil, {"--tls-server-name", "elsewhere.internal"}} {
			r := runWith(t.Context(), strings.NewReader("secret\n"), append(slices.Clone(args), name...)...)
			if r.code != exitFailed || !strings.Contains(r.err, "give --tls-server-name the name that the agent's certificate is for") {
				t.Errorf("%s %v: %+v", command, name, r)
			}
		}
		r := runWith(t.Context(), strings.NewReader("secret\n"), append(args, "--tls-server-name", cluster)...)
		if r.code != exitOK || command == "consume t" && r.out != "secret\n" {
			t.Errorf("%s: %+v", command, r)
		}
	}
	if cfg, err := (&connection{serverName: cluster}).tlsConfig(); err != nil || cfg == nil {
		t.Errorf("the name alone does not switch TLS on: %v, %v", cfg, err)
	}
}
