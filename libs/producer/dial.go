package producer

import (
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/streamhouse/streamhouse/proto/wire"
)

const (
	// windowSize is HTTP/2's, for answers. A fixed one bounds what an agent
	// can make us hold and saves the pings that find one.
	windowSize = 1 << 20
	// writeBuffer lets a request leave in few system calls.
	writeBuffer = 256 << 10
)

// pings find connections that carry nothing any more although nobody was told,
// also where nothing waits for an answer, so that the next batch does not have
// to find out. Agents allow one every 5 s.
var pings = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}

// pool is what a producer's connections are like. To each agent there is one
// per stream, and one for questions; and room for those that were replaced and
// take a while to be closed.
func (c *config) pool() PoolConfig {
	return PoolConfig{
		MaxConnections: max(10, 2*c.connections+1),
		IdleTimeout:    idleTime,
		DialTimeout:    c.dialTimeout,
		DialOptions:    c.dialing(),
	}
}

func (c *config) dialing() []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(c.transport()),
		grpc.WithUserAgent(userAgent()),
		grpc.WithInitialWindowSize(windowSize),
		grpc.WithInitialConnWindowSize(windowSize),
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithKeepaliveParams(pings),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(wire.Codec()),
			// gRPC must not keep messages to send them again by itself: the
			// bytes are ours, and so is the retry.
			grpc.MaxRetryRPCBufferSize(0),
		),
	}
	for _, creds := range c.perRPC {
		opts = append(opts, grpc.WithPerRPCCredentials(creds))
	}
	return append(opts, c.dialOptions...)
}

func (c *config) transport() credentials.TransportCredentials {
	if c.tls == nil {
		return insecure.NewCredentials()
	}
	cfg := c.tls.Clone()
	if c.serverName != "" {
		cfg.ServerName = c.serverName
	}
	return credentials.NewTLS(cfg)
}

// check lets gRPC judge the target and the options; it connects to nobody.
func (c *config) check(target string) error {
	conn, err := grpc.NewClient(target, c.dialing()...)
	if err == nil {
		return conn.Close()
	}
	for _, creds := range c.perRPC {
		if c.tls == nil && creds.RequireTransportSecurity() {
			return fmt.Errorf("WithPerRPCCredentials: these credentials are for encrypted connections only: add WithTLS: %w", err)
		}
	}
	return fmt.Errorf("connect to %q: %w", target, err)
}
