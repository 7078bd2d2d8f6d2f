package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

const (
	serverFlag    = "server"
	serverEnv     = "STREAMHOUSE_SERVER"
	defaultServer = "127.0.0.1:7070"
)

// connection is how to reach an agent.
type connection struct {
	server     string
	tls        bool
	ca         string
	cert       string
	key        string
	serverName string
	timeout    time.Duration
}

// connectionFlags adds the flags that every command has which talks to an
// agent.
func connectionFlags(cmd *cobra.Command) *connection {
	c := &connection{}
	server := os.Getenv(serverEnv)
	if server == "" {
		server = defaultServer
	}
	f := cmd.Flags()
	f.StringVar(&c.server, serverFlag, server, "agent to talk to, host:port; "+serverEnv+" sets another default")
	f.BoolVar(&c.tls, "tls", false, "use TLS; the other --tls flags switch it on as well")
	f.StringVar(&c.ca, "tls-ca", "", "file of the CA certificates to trust, PEM (default the system's)")
	f.StringVar(&c.cert, "tls-cert", "", "file of this client's certificate, PEM, for mutual TLS")
	f.StringVar(&c.key, "tls-key", "", "file of the certificate's private key, PEM")
	f.StringVar(&c.serverName, "tls-server-name", "", "name that the agents' certificates are for (default the host in --server, "+
		"and that of the address which each agent advertises)")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long to wait for the agent before giving up")
	return c
}

// serverOf is the agent that cmd talked to; empty for a command without one.
func serverOf(cmd *cobra.Command) string {
	if f := cmd.Flags().Lookup(serverFlag); f != nil {
		return f.Value.String()
	}
	return ""
}

// tlsConfig is nil for plaintext.
func (c *connection) tlsConfig() (*tls.Config, error) {
	if (c.cert == "") != (c.key == "") {
		return nil, usagef("--tls-cert and --tls-key belong together: give both")
	}
	if !c.tls && c.ca == "" && c.cert == "" && c.serverName == "" {
		return nil, nil // plaintext
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.serverName}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, fmt.Errorf("read CA certificates: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA certificates: %s holds no certificate in PEM form", c.ca)
		}
	}
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// reconnect finds an agent again soon after its restart; gRPC alone would come
// to wait for two minutes.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: 5 * time.Second,
}

// client is a connection to an agent and the services it offers.
type client struct {
	conn    *grpc.ClientConn
	topics  streamhousev1.TopicServiceClient
	reads   streamhousev1.ConsumerServiceClient
	cluster streamhousev1.ClusterServiceClient
}

// open makes a client. It does not connect yet: the first call does.
func (c *connection) open() (*client, error) {
	if c.timeout <= 0 {
		return nil, usagef("--timeout is %v: it must be positive", c.timeout)
	}
	cfg, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if cfg != nil {
		creds = credentials.NewTLS(cfg)
	}
	conn, err := grpc.NewClient(c.server, grpc.WithTransportCredentials(creds), grpc.WithConnectParams(reconnect))
	if err != nil {
		return nil, usagef("--server %q is no address: %v", c.server, err)
	}
	return &client{
		conn:    conn,
		topics:  streamhousev1.NewTopicServiceClient(conn),
		reads:   streamhousev1.NewConsumerServiceClient(conn),
		cluster: streamhousev1.NewClusterServiceClient(conn),
	}, nil
}

// errNoAnswer is the cause of a call that --timeout ended.
var errNoAnswer = errors.New("no answer in time")

// limit is ctx with the timeout of one call.
func (c *connection) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.timeout, errNoAnswer)
}
