package credentials

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/credentials"
)

// address is where every other agent is said to be.
const address = "127.0.0.1:7070"

func newClient(t *testing.T, source Source) credentials.TransportCredentials {
	t.Helper()
	client, err := Client(source, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return client.Clone() // gRPC may clone it as well
}

// call connects an agent to another one, as gRPC does.
func call(t *testing.T, server *tls.Config, client credentials.TransportCredentials) error {
	t.Helper()
	near, end := dial(t, server)
	defer end()
	conn, _, err := client.ClientHandshake(t.Context(), address, near)
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1))
	}
	return err
}

// requireCall wants a call to end as refused says, or to succeed where it is
// empty.
func requireCall(t *testing.T, what string, err error, refused string) {
	t.Helper()
	if refused == "" && err != nil || refused != "" && (err == nil || !strings.Contains(err.Error(), refused)) {
		t.Errorf("%s: the call ended with %v, want %q", what, err, refused)
	}
}

// Agents that know each other by one authority let each other in; a stranger's
// certificate is not trusted, nor does a stranger get in.
func TestPeers(t *testing.T) {
	ca, strangers := newAuthority(t, "authority"), newAuthority(t, "strangers")
	server := newServer(t, newFolder(t, ca.issue("agents"), ca.pem).source, &bytes.Buffer{})
	for refused, source := range map[string]Source{
		"":                              newFolder(t, ca.issue("agents"), ca.pem).source,
		"unknown certificate authority": newFolder(t, strangers.issue("agents"), ca.pem).source,
		"signed by unknown authority":   newFolder(t, ca.issue("agents"), strangers.pem).source,
	} {
		requireCall(t, "mutual", call(t, server, newClient(t, source)), refused)
	}
}

// Agents advertise addresses. They expect the name of their own certificate
// there, from an authority that comes with it.
func TestPeersByName(t *testing.T) {
	ca, other := newAuthority(t, "authority"), newAuthority(t, "other")
	agents, single := ca.issue("agents"), leaf("single")
	single.DNSNames = []string{"single"}
	self := newPair(t, single, nil)
	tests := []struct {
		name             string
		server, client   pair
		clients, refused string
	}{
		{"one certificate", agents, agents.with(ca.pem), "", ""},
		{"one each", agents, ca.issue("agents").with(ca.pem), "", ""},
		{"the second of the chain", agents, agents.with(other.pem + ca.pem), "", ""},
		{"its own besides that of clients", agents, agents.with(ca.pem), other.pem, ""},
		{"that of clients besides its own", agents, other.issue("agents").with(other.pem), ca.pem, ""},
		{"signed by itself", self, self, "", ""},
		{"names of their own, and the address", ca.issueAddress(), ca.issue("another").with(ca.pem), "", ""},
		{"an address and no name", ca.issueAddress(), ca.issueAddress().with(ca.pem), "", ""},
		{"no authority", agents, agents, "", "unknown authority"},
		{"another authority", other.issue("agents"), agents.with(ca.pem), "", "unknown authority"},
		{"no authority in the chain", other.issue("agents"), agents.with(other.issue("agents").cert), "", "unknown authority"},
		{"another name", ca.issue("clients"), agents.with(ca.pem), "", "not agents"},
		{"a name for an address", agents, ca.issueAddress().with(ca.pem), "", "cannot validate certificate for 127.0.0.1"},
	}
	for _, test := range tests {
		server := newServer(t, Source{CertPEM: test.server.cert, KeyPEM: test.server.key}, &bytes.Buffer{})
		client := newClient(t, Source{CertPEM: test.client.cert, KeyPEM: test.client.key, ClientCAPEM: test.clients})
		requireCall(t, test.name, call(t, server, client), test.refused)
	}
}

// The authorities that come with an agent's own certificate are for servers: no
// client is let in by them.
func TestOwnAuthorityLetsNobodyIn(t *testing.T) {
	ca, clients := newAuthority(t, "authority"), newAuthority(t, "clients")
	server := newServer(t, newFolder(t, ca.issue("agents").with(ca.pem), clients.pem).source, &bytes.Buffer{})
	client := newClient(t, newFolder(t, ca.issue("agents").with(ca.pem), clients.pem).source)
	requireCall(t, "a client of the server's authority", call(t, server, client), "unknown certificate authority")
}

// An agent expects of others what its files say now.
func TestPeersAfterRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := newAuthority(t, "before"), newAuthority(t, "after")
		f := newFolder(t, before.issue("old").with(before.pem), "")
		client := newClient(t, f.source)
		old := newServer(t, newFolder(t, before.issue("old"), "").source, &bytes.Buffer{})
		renewed := newServer(t, newFolder(t, after.issue("new"), "").source, &bytes.Buffer{})
		requireCall(t, "before", call(t, old, client), "")
		requireCall(t, "too early", call(t, renewed, client), "not old")

		next := after.issue("new").with(after.pem)
		f.write(f.source.CertFile, next.cert)
		f.write(f.source.KeyFile, next.key)
		time.Sleep(checkEvery)
		requireCall(t, "after", call(t, renewed, client), "")
		requireCall(t, "too late", call(t, old, client), "not new")
	})
}
