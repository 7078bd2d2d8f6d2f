package dynamo_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/standin"
)

var server *standin.Server

func TestMain(m *testing.M) {
	os.Exit(standin.Run(func(s *standin.Server) int { //nolint:forbidigo // as TestMain has to
		server = s
		return m.Run()
	}))
}

// world is tables of its own in the stand-in, and faults for its own requests.
type world struct {
	name   string
	faults standin.Faults
	seen   *ledger
}

var worlds atomic.Int64

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{name: fmt.Sprintf("test%d", worlds.Add(1)), seen: &ledger{}}
	w.faults = server.Faults(w.name)
	if err := w.open(t, server.Endpoint).CreateTables(t.Context(), dynamo.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	return w
}

// open returns a store that tries again at once.
func (w *world) open(t *testing.T, endpoint string) *dynamo.Store {
	t.Helper()
	cfg := config(endpoint)
	cfg.APIOptions = append(cfg.APIOptions, smithyhttp.AddHeaderValue(standin.FaultsHeader, w.name))
	s := open(t, cfg, dynamo.Options{TablePrefix: w.name, Observe: w.seen.observe})
	dynamo.Hurry(s, 5*time.Second)
	return s
}

// store is one whose requests suffer the faults, and peace one whose do not.
func (w *world) store(t *testing.T) *dynamo.Store {
	t.Helper()
	return w.open(t, server.Endpoint)
}

func (w *world) peace(t *testing.T) *dynamo.Store {
	t.Helper()
	return open(t, config(server.Endpoint), dynamo.Options{TablePrefix: w.name})
}

func (w *world) set(t *testing.T, rules ...standin.Rule) {
	t.Helper()
	if err := w.faults.Set(t.Context(), rules...); err != nil {
		t.Fatal(err)
	}
}

// fired counts the faults, when nothing is late any more.
func (w *world) fired(t *testing.T) int {
	t.Helper()
	n, err := w.faults.Fired(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func config(endpoint string) aws.Config {
	return aws.Config{
		Region: standin.Region, BaseEndpoint: aws.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(standin.AccessKey, standin.SecretKey, ""),
	}
}

func open(tb testing.TB, cfg aws.Config, opts dynamo.Options) *dynamo.Store {
	tb.Helper()
	s, err := dynamo.Open(cfg, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// front is a server before the stand-in, which shows each request to see. If
// see returns a function, the request happens, then the function, and no
// answer is sent.
func front(t *testing.T, see func(operation string, body []byte) func()) string {
	t.Helper()
	behind, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		then := see(r.Header.Get("X-Amz-Target"), body)
		if then == nil {
			proxy.ServeHTTP(rw, r)
			return
		}
		proxy.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		then()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// ledger keeps what was observed.
type ledger struct {
	mu  sync.Mutex
	all []dynamo.Request
}

func (l *ledger) observe(r dynamo.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r)
}

// take returns what was observed since it was last called.
func (l *ledger) take() []dynamo.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

func mustCreate(t *testing.T, s meta.Store, rows ...meta.Row) {
	t.Helper()
	for _, row := range rows {
		if err := s.Create(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
}
