package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/streamhouse/streamhouse/tests/standin/dynamodb"
	"github.com/streamhouse/streamhouse/tests/standin/faults"
	"github.com/streamhouse/streamhouse/tests/standin/s3"
)

type options struct {
	listen, listenTLS, dir string
	// dropAbove is the size of objects beyond which they are taken and
	// forgotten, so that a benchmark is not one of this server.
	dropAbove int64
}

// ready is the line of JSON that the server prints once it answers.
type ready struct {
	// Endpoint and TLSEndpoint are URLs; the second is empty without a TLS
	// address.
	Endpoint    string `json:"endpoint"`
	TLSEndpoint string `json:"tls_endpoint,omitempty"`
	// Certificate, as PEM, is what a client of TLSEndpoint has to trust.
	Certificate string `json:"certificate,omitempty"`
}

// run serves until ctx ends or something breaks.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	if o.dir == "" {
		if err := os.MkdirAll(os.TempDir(), 0o700); err != nil { // an image from scratch has none
			return err
		}
		if o.dir, err = os.MkdirTemp("", "standin-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	objects, err := s3.Start(ctx, filepath.Join(o.dir, "s3"))
	if err != nil {
		return err
	}
	line, servers, err := listen(ctx, o, faults.New(route(drop(objects, o.dropAbove), dynamodb.New())))
	for _, s := range servers {
		defer s.Close()
	}
	if err == nil {
		err = json.NewEncoder(out).Encode(line)
	}
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		<-objects.Done()
		return nil
	case <-objects.Done():
		return objects.Err()
	}
}

func listen(ctx context.Context, o options, h http.Handler) (line ready, servers []*httptest.Server, err error) {
	plain, err := server(ctx, o.listen, h)
	if err != nil {
		return line, nil, err
	}
	plain.Start()
	line.Endpoint = plain.URL
	if o.listenTLS == "" {
		return line, []*httptest.Server{plain}, nil
	}
	secure, err := server(ctx, o.listenTLS, h)
	if err != nil {
		return line, []*httptest.Server{plain}, err
	}
	secure.StartTLS()
	line.TLSEndpoint = secure.URL
	line.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	return line, []*httptest.Server{plain, secure}, nil
}

func server(ctx context.Context, address string, h http.Handler) (*httptest.Server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}, nil //nolint:gosec // its clients are tests
}

// drop forgets large objects.
func drop(objects http.Handler, above int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || r.ContentLength <= above {
			objects.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // a client that hangs up gets no answer
	})
}

// route sends each request to the service that it is for: DynamoDB's name
// their operation in a header, those of STS say so in their signature, and all
// others are S3's.
func route(objects, rows http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/_localstack/health":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"services":{"s3":"running","dynamodb":"running"},"edition":"standin"}`) // the client may be gone
		case strings.HasPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB"):
			rows.ServeHTTP(w, r)
		case strings.Contains(r.Header.Get("Authorization"), "/sts/aws4_request"):
			identity(w, r)
		default:
			objects.ServeHTTP(w, r)
		}
	})
}
