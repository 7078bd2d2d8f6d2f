package agent

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/services/agent/internal/credentials"
	"github.com/streamhouse/streamhouse/services/agent/internal/peer"
	"github.com/streamhouse/streamhouse/services/agent/internal/server"
)

// Option changes what New works with, beside the settings that a process has.
type Option func(*options)

type options struct {
	logger    *slog.Logger
	listeners map[string]net.Listener
	memory    *Memory
	dial      Dialer
	// stateEvery is flush.Options.StateEvery.
	stateEvery uint32
}

// WithLogger sends the agent's log to l; by default it has none.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithListener serves the named listener on l instead of its address: for
// tests without a network.
func WithListener(name string, l net.Listener) Option {
	return func(o *options) { o.listeners[name] = l }
}

// WithMemory keeps everything in m, whatever store is configured.
func WithMemory(m *Memory) Option { return func(o *options) { o.memory = m } }

// Dialer connects to an address.
type Dialer func(ctx context.Context, address string) (net.Conn, error)

// WithDialer reaches other agents by d instead of TCP: for tests without a
// network.
func WithDialer(d Dialer) Option { return func(o *options) { o.dial = d } }

// WithStateEvery writes the producers' whole state into every n-th segment of a
// partition instead of every 256th: for simulations, whose logs are short.
func WithStateEvery(n int) Option { return func(o *options) { o.stateEvery = uint32(n) } }

func applyOptions(opts []Option) options {
	o := options{logger: slog.New(slog.DiscardHandler), listeners: map[string]net.Listener{}}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// version is stamped by the build: -ldflags "-X <this package>.version=v1.2.3".
var version string

// Version is that of the program: what the build stamped, or what Go knows of
// the module it was installed from.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		return cmp.Or(info.Main.Version, "(devel)")
	}
	return cmp.Or(version, "(devel)")
}

// revision is the commit that the program was built from, where the build
// stamped it as it does version.
var revision string

// listen binds all listeners.
func (a *Agent) listen(o options) (*server.Server, error) {
	opts := server.Options{Logger: a.log, Refused: a.services.Refused}
	source := credentials.Source(a.cfg.TLS)
	if a.cfg.TLS.enabled() {
		var err error
		if opts.TLS, err = credentials.Server(source, a.log); err != nil {
			return nil, err
		}
	}
	for _, l := range a.cfg.Listeners {
		opts.Listeners = append(opts.Listeners, server.Listener{
			Name: l.Name, Address: l.Address, Advertise: l.Advertise, Listener: o.listeners[l.Name],
		})
	}
	opts.Register = func(name string, s *grpc.Server) {
		a.services.Register(s, name, func() string { return a.server.Advertised()[name] })
		if a.peers != nil && name == a.cfg.peerListener() {
			peer.Register(s, a.services.Host)
		}
	}
	return server.New(context.Background(), opts)
}

// peerListener is the listener on which agents talk to each other: the internal
// one, or the first where none has that name.
func (c Config) peerListener() string {
	for _, l := range c.Listeners {
		if l.Name == DefaultListener.Name {
			return l.Name
		}
	}
	return c.Listeners[0].Name
}

// dialPeers makes the client for other agents; nil on an exclusive store, where
// there are none.
func (a *Agent) dialPeers(o options) (*peer.Client, error) {
	if a.stores.exclusive {
		return nil, nil
	}
	creds := insecure.NewCredentials()
	if a.cfg.TLS.enabled() {
		var err error
		if creds, err = credentials.Client(credentials.Source(a.cfg.TLS), a.log); err != nil {
			return nil, err
		}
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.Codec())),
	}
	if o.dial != nil {
		opts = append(opts, grpc.WithContextDialer(o.dial))
	}
	return peer.New(a.cfg.peerListener(), opts...), nil
}
