package credentials

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"slices"

	"google.golang.org/grpc/credentials"
)

// Client returns the credentials for calls from one server to another like it.
// It shows the same certificate, and expects one for the address that is called, or
// for the first name of its own: agents advertise addresses, and a certificate that
// all of them share may hold none of these. It trusts
// the authorities of clients, or those of the system where there are none, and
// besides those that come with its own certificate. All this is reloaded as by
// Server.
func Client(source Source, log *slog.Logger) (credentials.TransportCredentials, error) {
	r, _, err := newReloader(source, log)
	if err != nil {
		return nil, err
	}
	return &client{TransportCredentials: credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}), reloader: r}, nil
}

// client makes every handshake with what the files hold then; all but that it
// leaves to credentials without anything of the files.
type client struct {
	credentials.TransportCredentials

	reloader *reloader
}

// ClientHandshake implements credentials.TransportCredentials. Authority is the
// address that was dialled.
func (c *client) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config := c.reloader.client(authority)
	// gRPC looks at no ServerName here, only at what it is given.
	return credentials.NewTLS(config).ClientHandshake(ctx, cmp.Or(config.ServerName, authority), conn)
}

// Clone implements credentials.TransportCredentials.
func (c *client) Clone() credentials.TransportCredentials {
	return &client{TransportCredentials: c.TransportCredentials.Clone(), reloader: c.reloader}
}

// client is the settings of one handshake with another server.
func (r *reloader) client(address string) *tls.Config {
	now := r.current()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         now.ServerName,
		InsecureSkipVerify: true, //nolint:gosec // that checks one name only: VerifyConnection checks all it would, and takes either name
		VerifyConnection:   func(s tls.ConnectionState) error { return verify(&s, now.RootCAs, host, now.ServerName) },
		// Unlike Certificates, it is shown whatever authorities the server lists.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &now.Certificates[0], nil
		},
	}
}

// verify checks a server's certificate for one of some names or addresses.
func verify(s *tls.ConnectionState, roots *x509.CertPool, names ...string) (err error) {
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	for _, options.DNSName = range slices.DeleteFunc(names, func(name string) bool { return name == "" }) {
		if _, err = s.PeerCertificates[0].Verify(options); err == nil {
			return nil
		}
	}
	return err
}

// expectOwn sets what to expect of a server like this one. A server itself uses
// neither setting.
func expectOwn(config *tls.Config, pair tls.Certificate) {
	if names := pair.Leaf.DNSNames; len(names) > 0 {
		config.ServerName = names[0]
	}
	config.RootCAs = config.ClientCAs // nil stands for the system's
	if own := authorities(pair); len(own) > 0 {
		config.RootCAs = with(config.ClientCAs, own)
	}
}

// with returns a pool, or the system's in place of nil, with more authorities.
func with(pool *x509.CertPool, own []*x509.Certificate) *x509.CertPool {
	if pool != nil {
		pool = pool.Clone() // clients are not let in by them
	} else if system, err := x509.SystemCertPool(); err == nil {
		pool = system
	} else {
		pool = x509.NewCertPool() // nothing of the system's can be read, so it vouches for nobody
	}
	for _, ca := range own {
		pool.AddCert(ca)
	}
	return pool
}

// authorities are those that come with a certificate. One that signed itself
// has no other.
func authorities(pair tls.Certificate) []*x509.Certificate {
	var found []*x509.Certificate
	if selfSigned(pair.Leaf) {
		found = append(found, pair.Leaf)
	}
	for _, der := range pair.Certificate[1:] {
		// What cannot be read vouches for nobody; clients may still make sense of it.
		if cert, err := x509.ParseCertificate(der); err == nil && cert.IsCA {
			found = append(found, cert)
		}
	}
	return found
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
