// Package server runs an agent's gRPC servers, one for each named listener, so
// that an answer can depend on the address that a client came by. It brings
// what every listener needs besides the agent's own services: the codec that
// does not copy, limits, health, reflection, and a stop that lets calls end.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// Listener is one named address to serve on.
type Listener struct {
	// Name is passed to Options.Register, and to Addr.
	Name string
	// Address is host:port; port 0 takes a free one.
	Address string
	// Advertise is host:port as clients reach it; empty: the host of Address
	// and the port that was taken.
	Advertise string
	// Listener is used instead of Address where it is set. The Server closes it.
	Listener net.Listener
}

// Options are what New makes a Server of.
type Options struct {
	Listeners []Listener
	// TLS is nil for plaintext.
	TLS *tls.Config
	// Register adds the services that the named listener offers.
	Register func(listener string, s *grpc.Server)
	Logger   *slog.Logger
	// Refused hears of every unary call that ended with an error; nil for nobody.
	Refused func(err error)
}

// Server is a set of listeners with a gRPC server each. It is safe for
// concurrent use.
type Server struct {
	log      *slog.Logger
	refused  func(err error)
	bound    []bound
	health   *health.Server
	services map[string]bool // the names that health knows beside ""

	stopping context.Context // ends when Stop begins
	stop     context.CancelFunc
	reads    sync.WaitGroup // see endingStream
}

type bound struct {
	name      string
	advertise string
	listener  net.Listener
	grpc      *grpc.Server
}

// New takes all addresses, so that Addr knows them; Serve begins to answer.
// When it fails, none stays taken. A Server that is not served must be stopped
// all the same.
func New(ctx context.Context, opts Options) (*Server, error) {
	s := &Server{log: opts.Logger, refused: opts.Refused, health: health.NewServer(), services: map[string]bool{}}
	s.stopping, s.stop = context.WithCancel(context.Background())
	for _, l := range opts.Listeners {
		if err := s.bind(ctx, l, opts); err != nil {
			s.cut()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) bind(ctx context.Context, l Listener, opts Options) error {
	listener := l.Listener
	if listener == nil {
		var err error
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", l.Address); err != nil {
			return fmt.Errorf("open listener %q, whose address --listen sets: %w", l.Name, err)
		}
	}
	g := grpc.NewServer(s.options(opts.TLS)...)
	opts.Register(l.Name, g)
	for service := range g.GetServiceInfo() {
		s.services[service] = true
		s.health.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	grpc_health_v1.RegisterHealthServer(g, s.health)
	reflection.Register(g)
	s.bound = append(s.bound, bound{
		name: l.Name, advertise: l.advertised(listener.Addr().String()), listener: listener, grpc: g,
	})
	return nil
}

// advertised keeps the host's name, for a certificate holds that and not the
// number that it was resolved to.
func (l Listener) advertised(taken string) string {
	host, _, err := net.SplitHostPort(l.Address)
	_, port, err2 := net.SplitHostPort(taken)
	switch {
	case l.Advertise != "":
		return l.Advertise
	case err != nil || err2 != nil: // a Listener of another kind
		return taken
	default:
		return net.JoinHostPort(host, port)
	}
}

// Addr returns the address that the named listener took, or "" for a name that
// there is not.
func (s *Server) Addr(name string) string {
	for _, b := range s.bound {
		if b.name == name {
			return b.listener.Addr().String()
		}
	}
	return ""
}

// Advertised returns the address by which clients reach each listener, by its
// name.
func (s *Server) Advertised() map[string]string {
	all := make(map[string]string, len(s.bound))
	for _, b := range s.bound {
		all[b.name] = b.advertise
	}
	return all
}

// Serve answers until Stop is done, ctx ends, or a listener breaks; that is
// the only error. When ctx ends, connections are cut: call Stop before, to let
// calls end. No call is running any more when Serve returns. It is called
// once.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	broken := make(chan error, len(s.bound))
	var servers, cutter sync.WaitGroup
	cutter.Go(func() {
		<-ctx.Done()
		s.cut()
	})
	for _, b := range s.bound {
		servers.Go(func() {
			if err := b.grpc.Serve(b.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				broken <- fmt.Errorf("serve on listener %q: %w", b.name, err)
				cancel()
			}
		})
	}
	servers.Wait()
	cancel()
	cutter.Wait()
	s.reads.Wait()
	select {
	case err := <-broken:
		return err
	default:
		return nil
	}
}

// Withdraw tells health checks of single services that none should be sent
// here any more. Everything is still served, and the check without a name,
// which asks whether the process lives, is answered as before.
func (s *Server) Withdraw() {
	for service := range s.services {
		s.health.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	}
}

// Stop withdraws, takes no more connections and calls, and waits for those that
// run. After the limit it cuts them, waits for their handlers and returns an
// error.
func (s *Server) Stop(limit time.Duration) error {
	s.Withdraw()
	s.stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.each((*grpc.Server).GracefulStop)
	}()
	var err error
	select {
	case <-ended:
	case <-time.After(limit):
		err = fmt.Errorf("calls that did not end within %s were cut", limit)
	}
	s.cut()
	<-ended
	return err
}

// cut closes every connection and listener, and waits for the handlers.
func (s *Server) cut() {
	s.stop()
	s.each((*grpc.Server).Stop)
	for _, b := range s.bound {
		_ = b.listener.Close() // gRPC closes only those that it served; a second time does no harm
	}
}

func (s *Server) each(stop func(*grpc.Server)) {
	var servers sync.WaitGroup
	for _, b := range s.bound {
		servers.Go(func() { stop(b.grpc) })
	}
	servers.Wait()
}
