package producer

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/proto/wire"
)

const (
	// windowSize is HTTP/2's, for answers. A fixed one bounds what an agent
	// can make us hold and saves the pings that find one.
	windowSize = 1 << 20
	// writeBuffer lets a request leave in few system calls.
	writeBuffer = 256 << 10
	userAgent   = "streamhouse-producer-go"
)

// dial makes a connection, which connects when it is used.
func (c *config) dial(target string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if c.tls != nil {
		creds = credentials.NewTLS(c.tls)
	}
	retry := backoff.Config{BaseDelay: c.retry.InitialBackoff, Multiplier: c.retry.Multiplier, Jitter: 0.2, MaxDelay: maxRoutingBackoff}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent(userAgent),
		grpc.WithInitialWindowSize(windowSize),
		grpc.WithInitialConnWindowSize(windowSize),
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: c.dialTimeout}),
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
	conn, err := grpc.NewClient(target, append(opts, c.dialOptions...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %q: %w", target, err)
	}
	return conn, nil
}
