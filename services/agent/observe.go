package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/metrics"
)

// observation shows what the agent counts, and that it lives.
type observation struct {
	source   metrics.Source
	cluster  string
	listener net.Listener // nil: nothing is served over HTTP
	embedded bool
}

// observe binds the address for HTTP.
func (a *Agent) observe() (*observation, error) {
	o := &observation{
		source:  metrics.Source{Stats: a.stats, Prices: a.cfg.Store.Prices(), Now: a.now},
		cluster: a.cfg.Cluster, embedded: a.cfg.Metrics.CloudWatch,
	}
	if a.cfg.HTTPListen == "" {
		return o, nil
	}
	var err error
	o.listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", a.cfg.HTTPListen)
	if err != nil {
		return nil, fmt.Errorf("open the address that --http-listen sets: %w", err)
	}
	return o, nil
}

// run serves until ctx ends. What goes wrong with metrics stops nothing else.
func (o *observation) run(ctx context.Context) error {
	served := make(chan error, 1)
	server := &http.Server{Handler: o.routes(), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	if o.listener == nil {
		served <- nil
	} else {
		go func() { served <- server.Serve(o.listener) }() // ended by Close, and waited for
	}
	var written error
	if o.embedded {
		written = metrics.NewEmbedded(o.source, o.cluster, os.Stdout).Run(ctx)
	}
	<-ctx.Done()
	closed := server.Close()
	err := <-served
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(written, err, closed)
}

func (o *observation) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler(o.source))
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "alive\n") // else the client is gone
	})
	return mux
}

func (o *observation) close() error {
	if o.listener == nil {
		return nil
	}
	return o.listener.Close()
}

// now reads what the present session holds.
func (a *Agent) now() metrics.Now {
	h := a.services.Host()
	if h == nil {
		return metrics.Now{}
	}
	used, limit := h.Pipeline.Buffered()
	return metrics.Now{BufferedBytes: used, BufferLimit: limit, Leases: len(h.Pipeline.Tenures()), Unowned: h.Unowned()}
}
