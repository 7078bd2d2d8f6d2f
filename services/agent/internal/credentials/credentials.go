// Package credentials makes an agent's TLS settings from PEM files or PEM
// texts. Files are read again when they change, so that a certificate is
// rotated without a restart.
package credentials

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync"
	"time"
)

// Source says where the certificate, its key and the certificates of the
// clients' authorities come from: either from the files or from the texts.
// Without an authority clients need no certificate.
type Source struct {
	CertFile     string
	KeyFile      string
	ClientCAFile string

	CertPEM     string
	KeyPEM      string
	ClientCAPEM string
}

// Server returns the settings for a server: TLS 1.2 and newer, and with an
// authority only clients that it vouches for. It fails when the source cannot
// be used. New connections take files that have changed, at most a second
// late; what already runs keeps its credentials. While the new content cannot
// be used, for example because only half of it is written, the old stays, and
// log says so once per change. The settings are safe for concurrent use.
func Server(source Source, log *slog.Logger) (*tls.Config, error) {
	r, leaf, err := newReloader(source, log)
	if err != nil {
		return nil, err
	}
	logLoaded(log, leaf)
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.current(), nil },
	}, nil
}

func newReloader(source Source, log *slog.Logger) (*reloader, *x509.Certificate, error) {
	r := &reloader{source: source, log: log}
	r.mu.state = stat(source)
	config, leaf, err := load(source)
	if err != nil {
		return nil, nil, err
	}
	r.mu.config, r.mu.checked = config, time.Now()
	return r, leaf, nil
}

// checkEvery bounds how often the files are looked at.
const checkEvery = time.Second

// reloader holds the settings for the next handshake.
type reloader struct {
	source Source
	log    *slog.Logger
	mu     struct {
		sync.Mutex
		config   *tls.Config
		state    state // of the files, from before config was read
		refused  state // the last one that could not be used
		checked  time.Time
		checking bool
	}
}

// current is called at every handshake. The one that finds the last check too
// old checks; those beside it take what there is and do not wait.
func (r *reloader) current() *tls.Config {
	if r.claim() {
		r.check()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.config
}

func (r *reloader) claim() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.checking || time.Since(r.mu.checked) < checkEvery || r.source.CertFile == "" {
		return false
	}
	r.mu.checking = true
	return true
}

// check takes changed files. Their state is read before their content: what is
// written in between shows as another change at the next check. Files that
// could not be used are read again at every check, since a second write of the
// same size within one tick of the file system's clock does not show.
func (r *reloader) check() {
	found := stat(r.source)
	r.mu.Lock()
	changed, complained := !found.same(r.mu.state), found.same(r.mu.refused)
	r.mu.Unlock()
	var config *tls.Config
	if changed {
		config = r.reload(complained)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.checking, r.mu.checked = false, time.Now()
	switch {
	case config != nil:
		r.mu.config, r.mu.state, r.mu.refused = config, found, nil
	case changed:
		r.mu.refused = found
	}
}

// reload returns nil for files that cannot be used.
func (r *reloader) reload(complained bool) *tls.Config {
	config, leaf, err := load(r.source)
	if err == nil {
		logLoaded(r.log, leaf)
		return config
	}
	if !complained {
		r.log.Error("changed TLS files cannot be used, keeping what was loaded before", slog.Any("error", err))
	}
	return nil
}

func logLoaded(log *slog.Logger, leaf *x509.Certificate) {
	subject, until := slog.String("subject", leaf.Subject.String()), slog.Time("not_after", leaf.NotAfter)
	if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		log.Warn("TLS certificate loaded that is not valid now: clients will refuse it", subject, until)
		return
	}
	log.Info("TLS certificate loaded", subject, until)
}
