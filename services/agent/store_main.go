package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/pflag"

	"github.com/streamhouse/streamhouse/services/agent/internal/remote"
)

// storeCommand, as the first argument of Main, runs a store server in place of
// an agent.
const storeCommand = "store"

// DefaultStoreAddress is where a store server listens, and agents look for it.
const DefaultStoreAddress = "127.0.0.1:7060"

// storeServer is a process that serves the embedded store of a folder to agents
// of --store remote, on this machine only.
type storeServer struct {
	dir, address, readyFile string
}

func (s *storeServer) register(fs *pflag.FlagSet) {
	fs.StringVar(&s.dir, "dir", "./streamhouse-data", "`folder` of the store")
	fs.StringVar(&s.address, "listen", DefaultStoreAddress, "`host:port` to serve on, of this machine's loopback; port 0 takes a free one")
	fs.StringVar(&s.readyFile, "ready-file", "", "`file` to write once the store is served: JSON with the address that it took")
}

// storeMain is Main for a store server.
func (p *process) storeMain(ctx context.Context, args []string) int {
	var s storeServer
	fs := pflag.NewFlagSet("streamhouse-agent "+storeCommand, pflag.ContinueOnError)
	s.register(fs)
	fs.Usage = func() {
		fmt.Fprintf(p.stdout, "Serve the store of a folder to several agents of this machine, for trials and tests:\n"+
			"they run with --store remote.\n\n%s", fs.FlagUsagesWrapped(100))
	}
	err := fs.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return exitClean
	}
	if host, _, splitErr := net.SplitHostPort(s.address); err == nil && (splitErr != nil || !loopback(host)) {
		err = fmt.Errorf("--listen is %q: give HOST:PORT of this machine's loopback, for a store server has no security", s.address)
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("%q is not a flag, and a store server takes nothing else", fs.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "%v\n--help tells about the settings.\n", err)
		return exitUsage
	}
	if err := s.run(ctx, p, newLogger(LogConfig{Format: LogText}, p.stderr)); err != nil {
		fmt.Fprintf(p.stderr, "streamhouse-agent %s: %v\n", storeCommand, err)
		return exitError
	}
	return exitClean
}

// run serves until a signal comes or ctx ends.
func (s *storeServer) run(ctx context.Context, p *process, log *slog.Logger) error {
	stores, err := openFiles(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(s.serve(ctx, p, stores, log), stores.close())
}

// headerTimeout bounds how long a request may take to say what it wants.
const headerTimeout = 10 * time.Second

func (s *storeServer) serve(ctx context.Context, p *process, stores *stores, log *slog.Logger) error {
	ready, err := newReadyFile(s.readyFile)
	if err != nil {
		return err
	}
	defer ready.remove()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("open the address of --listen: %w", err)
	}
	server := &http.Server{Handler: remote.Handler(stores.objects, stores.rows), ReadHeaderTimeout: headerTimeout}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	address := listener.Addr().String()
	log.Info("serving the store", slog.String("dir", s.dir), slog.String("address", address))
	if err := ready.write([]Listener{{Name: storeCommand}}, func(string) string { return address }); err != nil {
		return errors.Join(err, server.Close(), ignoreClosed(<-ended))
	}
	select {
	case <-ctx.Done():
	case <-p.signals:
	case err := <-ended:
		return err
	}
	// What runs is an operation each, and takes no longer than the disk.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return errors.Join(server.Shutdown(stop), ignoreClosed(<-ended))
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
