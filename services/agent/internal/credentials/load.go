package credentials

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// load makes the settings of one moment.
func load(source Source) (*tls.Config, *x509.Certificate, error) {
	cert, err := text(source.CertFile, source.CertPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("read TLS certificate: %w", err)
	}
	key, err := text(source.KeyFile, source.KeyPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("read TLS key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, nil, fmt.Errorf("use TLS certificate and key: %w", err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"h2"},
	}
	if source.ClientCAFile != "" || source.ClientCAPEM != "" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if config.ClientCAs, err = clientCAs(source); err != nil {
			return nil, nil, err
		}
	}
	expectOwn(config, pair)
	return config, pair.Leaf, nil
}

func clientCAs(source Source) (*x509.CertPool, error) {
	cas, err := text(source.ClientCAFile, source.ClientCAPEM)
	if err != nil {
		return nil, fmt.Errorf("read TLS client authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(cas) {
		return nil, errors.New("use TLS client authorities: there is no certificate in PEM form")
	}
	return pool, nil
}

// text returns what the file holds, or without a file the text. The parsers
// pass over a block without its end; here it shows a file that is still being
// written, whose last certificates would be missing.
func text(file, pem string) ([]byte, error) {
	b := []byte(pem)
	if file != "" {
		var err error
		if b, err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	if bytes.Count(b, []byte("-----BEGIN ")) != bytes.Count(b, []byte("-----END ")) {
		return nil, fmt.Errorf("%s: a PEM block has no end", cmp.Or(file, "PEM text"))
	}
	return b, nil
}

// state is what tells a changed file: one entry per file, nil for one that
// cannot be looked at.
type state []os.FileInfo

func stat(source Source) state {
	var s state
	for _, name := range []string{source.CertFile, source.KeyFile, source.ClientCAFile} {
		info, err := os.Stat(name)
		if err != nil {
			info = nil
		}
		s = append(s, info)
	}
	return s
}

func (s state) same(other state) bool {
	if len(s) != len(other) {
		return false
	}
	for i, a := range s {
		b := other[i]
		if a == nil || b == nil {
			if a != b {
				return false
			}
			continue
		}
		if !os.SameFile(a, b) || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) {
			return false
		}
	}
	return true
}
