// Package s3 serves S3 out of a folder, by versitygw.
//
// It differs from S3 where that keeps objects as files, see keys.go, and keeps
// buckets' settings without acting on them, see settings.go. Only one server can run in a process, whose working
// directory it changes.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// What clients sign their requests with.
const (
	AccessKey = "test"
	SecretKey = "test"
	Region    = "us-east-1"
)

// Server is an http.Handler for S3's requests.
type Server struct {
	http.Handler
	done chan struct{}
	err  error
}

// Done is closed when the server has ended: after ctx, or because it broke.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says why it ended, after Done.
func (s *Server) Err() error { return s.err }

// startLimit is far above what a busy machine needs.
const startLimit = 30 * time.Second

// Start serves the objects in dir, and makes it if it is not there. The
// gateway listens on a socket in that folder: it has no handler to call.
func Start(ctx context.Context, dir string) (*Server, error) {
	root, socket := filepath.Join(dir, "buckets"), filepath.Join(dir, "socket")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(socket); err != nil { // of a server that was killed
		return nil, err
	}
	backend, err := posix.New(root, meta.XattrMeta{}, posix.PosixOpts{})
	if err != nil {
		return nil, fmt.Errorf("serve S3 from %s: %w", dir, err)
	}
	account := auth.Account{Access: AccessKey, Secret: SecretKey, Role: auth.RoleAdmin}
	handler := &settings{gateway: proxy(socket), root: root, kept: map[string]map[string]document{}}
	s := &Server{Handler: handler, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = embedgw.RunVersityGW(ctx, keys{backend}, &embedgw.Config{
			RootUserAccess: account.Access, RootUserSecret: account.Secret, Region: Region,
			IAMService: auth.NewIAMServiceSingle(account),
			Ports:      []string{socket}, MaxConnections: 1 << 12, MaxRequests: 1 << 12, MultipartMaxParts: 10_000,
			KeepAlive: true, Quiet: true, DisableACLs: true,
		})
	}()
	return s, s.await(ctx, socket)
}

func (s *Server) await(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if c, err := new(net.Dialer).DialContext(ctx, "unix", socket); err == nil {
			return c.Close()
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("S3 did not start: %w", ctx.Err())
		case <-s.done:
			return errors.Join(errors.New("S3 did not start"), s.err)
		}
	}
}

// proxy hands requests to the socket as they came: their signature covers the
// host.
func proxy(socket string) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "s3" },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
			MaxIdleConnsPerHost: 64,
			DisableCompression:  true,
		},
	}
}
