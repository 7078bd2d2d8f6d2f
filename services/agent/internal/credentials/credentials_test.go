package credentials

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// handshake connects a client to a server and returns the name in the server's
// certificate. The server answers with a byte, since with TLS 1.3 a client
// learns only afterwards that it was refused.
func handshake(t *testing.T, server, client *tls.Config) (string, error) {
	t.Helper()
	near, end := dial(t, server)
	defer end()
	conn := tls.Client(near, client)
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return "", err
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// dial connects to a server for one handshake, until end is called.
func dial(t *testing.T, server *tls.Config) (near net.Conn, end func()) {
	t.Helper()
	// Buffered, unlike net.Pipe: in TLS both sides may write at the same time.
	listener := bufconn.Listen(1 << 16)
	var wg sync.WaitGroup
	wg.Go(func() {
		far, err := listener.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		conn := tls.Server(far, server)
		_, _ = conn.Write([]byte{1})
		_ = conn.Close()
	})
	near, err := listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	return near, func() {
		_ = near.Close() // the server may have closed it
		wg.Wait()
	}
}

func newServer(t *testing.T, source Source, logs *bytes.Buffer) *tls.Config {
	t.Helper()
	config, err := Server(source, slog.New(slog.NewTextHandler(logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// wantServer checks which certificate a new connection gets.
func wantServer(t *testing.T, server, client *tls.Config, want string) {
	t.Helper()
	// The names differ between rotations, which is what the test is about.
	client = client.Clone()
	client.ServerName = want
	if got, err := handshake(t, server, client); err != nil || got != want {
		t.Errorf("a new connection met %q, %v; want %q", got, err, want)
	}
}

// Files that were replaced are used by new connections, without a restart.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "authority")
		f := newFolder(t, ca.issue("old"), "")
		var logs bytes.Buffer
		server, client := newServer(t, f.source, &logs), &tls.Config{RootCAs: ca.pool()}
		wantServer(t, server, client, "old")

		next := ca.issue("new")
		f.write(f.source.CertFile, next.cert)
		f.write(f.source.KeyFile, next.key)
		time.Sleep(checkEvery - time.Millisecond)
		wantServer(t, server, client, "old") // files are not looked at at every handshake
		time.Sleep(time.Millisecond)
		wantServer(t, server, client, "new")
		if n := strings.Count(logs.String(), "TLS certificate loaded"); n != 2 {
			t.Errorf("loaded %d times, want 2:\n%s", n, &logs)
		}
	})
}

// While files are being replaced they do not fit each other. The old ones
// stay in use, the log says it once per change, and the end of the change is
// seen.
func TestHalfWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "authority")
		f := newFolder(t, ca.issue("old"), "")
		var logs bytes.Buffer
		server, client := newServer(t, f.source, &logs), &tls.Config{RootCAs: ca.pool()}
		next := ca.issue("new")
		steps := []struct{ name, file, content, serves string }{
			{"no certificate yet", f.source.CertFile, "", "old"},
			{"half a certificate", f.source.CertFile, next.cert[:len(next.cert)/2], "old"},
			{"the old key beside it", f.source.CertFile, next.cert, "old"},
			{"half a key", f.source.KeyFile, next.key[:len(next.key)/2], "old"},
			{"complete", f.source.KeyFile, next.key, "new"},
			{"half a chain", f.source.CertFile, next.cert + ca.pem[:len(ca.pem)/2], "new"},
		}
		for _, step := range steps {
			logs.Reset()
			f.write(step.file, step.content)
			for range 3 {
				time.Sleep(checkEvery)
				t.Log(step.name)
				wantServer(t, server, client, step.serves)
			}
			complaints := 1
			if step.name == "complete" {
				complaints = 0
			}
			if n := strings.Count(logs.String(), "cannot be used"); n != complaints {
				t.Errorf("%s: %d complaints, want %d:\n%s", step.name, n, complaints, &logs)
			}
		}
	})
}

// A folder that is away for a moment, as while a secret is mounted anew, must
// not end the service.
func TestFilesGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "authority")
		f := newFolder(t, ca.issue("old"), "")
		server := newServer(t, f.source, &bytes.Buffer{})
		moved := f.source
		rename(t, moved.KeyFile, moved.KeyFile+".away")
		time.Sleep(checkEvery)
		wantServer(t, server, &tls.Config{RootCAs: ca.pool()}, "old")
		rename(t, moved.KeyFile+".away", moved.KeyFile)
		time.Sleep(checkEvery)
		wantServer(t, server, &tls.Config{RootCAs: ca.pool()}, "old")
	})
}

// With an authority for clients, only clients that it vouches for come in; and
// one whose authority was replaced does not come back with a ticket.
func TestClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, clients, strangers := newAuthority(t, "authority"), newAuthority(t, "clients"), newAuthority(t, "strangers")
		f := newFolder(t, ca.issue("agent"), clients.pem)
		server := newServer(t, f.source, &bytes.Buffer{})
		client := func(cert *tls.Certificate) *tls.Config {
			return &tls.Config{
				RootCAs: ca.pool(), ServerName: "agent", ClientSessionCache: tls.NewLRUClientSessionCache(1),
				// Certificates would be held back from a server that does not ask for their authority.
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil },
			}
		}
		refused := func(config *tls.Config, alert string) {
			t.Helper()
			if _, err := handshake(t, server, config); err == nil || !strings.Contains(err.Error(), alert) {
				t.Errorf("the handshake ended with %v, want %q", err, alert)
			}
		}
		known := client(clients.issue("client").tls(t))
		wantServer(t, server, known, "agent")
		wantServer(t, server, known, "agent") // by a ticket of the first time
		refused(client(&tls.Certificate{}), "certificate required")
		refused(client(strangers.issue("client").tls(t)), "unknown certificate authority")

		f.write(f.source.ClientCAFile, "")
		time.Sleep(checkEvery)
		refused(client(&tls.Certificate{}), "certificate required") // an empty file does not open the door
		f.write(f.source.ClientCAFile, strangers.pem)
		time.Sleep(checkEvery)
		refused(known, "unknown certificate authority")
		wantServer(t, server, client(strangers.issue("client").tls(t)), "agent")
	})
}

func TestTexts(t *testing.T) {
	ca := newAuthority(t, "authority")
	p := ca.issue("agent")
	source := Source{CertPEM: p.cert, KeyPEM: p.key, ClientCAPEM: ca.pem}
	server := newServer(t, source, &bytes.Buffer{})
	client := &tls.Config{RootCAs: ca.pool(), ServerName: "agent"}
	if _, err := handshake(t, server, client); err == nil {
		t.Error("a client without a certificate was let in")
	}
	client.Certificates = []tls.Certificate{*ca.issue("client").tls(t)}
	wantServer(t, server, client, "agent")
}

func TestOldVersionsAreRefused(t *testing.T) {
	ca := newAuthority(t, "authority")
	p := ca.issue("agent")
	server := newServer(t, Source{CertPEM: p.cert, KeyPEM: p.key}, &bytes.Buffer{})
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := &tls.Config{RootCAs: ca.pool(), ServerName: "agent", MinVersion: version, MaxVersion: version}
		if _, err := handshake(t, server, client); (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// What cannot be used is found at the start, with a sentence that names it.
func TestUnusableSource(t *testing.T) {
	ca := newAuthority(t, "authority")
	p, other := ca.issue("agent"), ca.issue("other")
	f := newFolder(t, p, "")
	tests := []struct {
		name   string
		source Source
		want   string
	}{
		{"no file", Source{CertFile: f.source.CertFile + "x", KeyFile: f.source.KeyFile}, "cert.pemx: no such file"},
		{"no key file", Source{CertFile: f.source.CertFile, KeyFile: f.source.KeyFile + "x"}, "key.pemx: no such file"},
		{"key of another", Source{CertPEM: p.cert, KeyPEM: other.key}, "private key does not match"},
		{"no certificate", Source{CertPEM: "hello", KeyPEM: p.key}, "use TLS certificate and key"},
		{"half a key", Source{CertPEM: p.cert, KeyPEM: p.key[:40]}, "PEM text: a PEM block has no end"},
		{"no authority", Source{CertPEM: p.cert, KeyPEM: p.key, ClientCAPEM: "hello"}, "there is no certificate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Server(test.source, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

// An expired certificate is served, for clients decide; the log warns.
func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newAuthority(t, "authority").issue("agent")
		time.Sleep(48 * time.Hour)
		var logs bytes.Buffer
		newServer(t, Source{CertPEM: p.cert, KeyPEM: p.key}, &logs)
		if !strings.Contains(logs.String(), "level=WARN") {
			t.Errorf("no warning:\n%s", &logs)
		}
	})
}

// Handshakes run side by side with each other and with rotations: the race
// detector looks on, and every one meets a whole pair.
func TestConcurrentHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "authority")
		f := newFolder(t, ca.issue("agent"), "")
		server := newServer(t, f.source, &bytes.Buffer{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 5 {
					time.Sleep(checkEvery)
					wantServer(t, server, &tls.Config{RootCAs: ca.pool()}, "agent")
				}
			})
		}
		for range 5 {
			next := ca.issue("agent")
			f.write(f.source.CertFile, next.cert)
			f.write(f.source.KeyFile, next.key)
			time.Sleep(checkEvery)
		}
		wg.Wait()
	})
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
