package credentials

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

// pair is a certificate with its key.
type pair struct{ cert, key string }

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := template(name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	a.pem, a.cert = sign(t, template, template, a.key, a.key)
	return a
}

func (a *authority) issue(name string) pair {
	a.t.Helper()
	template := leaf(name)
	template.DNSNames = []string{name}
	return newPair(a.t, template, a)
}

// issueAddress issues a certificate for 127.0.0.1 and no name.
func (a *authority) issueAddress() pair {
	a.t.Helper()
	template := leaf("address")
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	return newPair(a.t, template, a)
}

// newPair makes a certificate that the authority signs, or with nil the
// certificate itself.
func newPair(t *testing.T, template *x509.Certificate, by *authority) pair {
	t.Helper()
	key := newKey(t)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	cert, _ := sign(t, template, parent, key, signer)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{cert: cert, key: string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))}
}

// with is the pair with more certificates after its own.
func (p pair) with(chain string) pair { return pair{cert: p.cert + chain, key: p.key} }

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (p pair) tls(t *testing.T) *tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair([]byte(p.cert), []byte(p.key))
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func leaf(name string) *x509.Certificate {
	template := template(name)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return template
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func sign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (string, *x509.Certificate) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert
}

// folder holds the three files of a Source.
type folder struct {
	t      *testing.T
	source Source
}

func newFolder(t *testing.T, p pair, clientCA string) folder {
	t.Helper()
	dir := t.TempDir()
	f := folder{t: t, source: Source{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}}
	f.write(f.source.CertFile, p.cert)
	f.write(f.source.KeyFile, p.key)
	if clientCA != "" {
		f.source.ClientCAFile = filepath.Join(dir, "ca.pem")
		f.write(f.source.ClientCAFile, clientCA)
	}
	return f
}

func (f folder) write(name, content string) {
	f.t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}
