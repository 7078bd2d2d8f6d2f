package server

import (
	"crypto/tls"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/streamhouse/streamhouse/proto/wire"
)

const (
	// window is how much a client may send that was not read yet. It is fixed,
	// so that a connection's memory is bounded and gRPC sends no pings to
	// measure what it could be. With a round trip of 10 ms, far more than within
	// a region, it lets 400 MiB/s through.
	window = 4 << 20
	// writeBuffer holds what goes out in one write. Answers are small, fetched
	// batches large: this saves a tenth of the CPU time that the default takes.
	writeBuffer = 256 << 10
	// pingsAllowed is the interval of pings that clients may send at most. They
	// are told to send one every 10 s, and networks deliver them in bunches.
	pingsAllowed = 5 * time.Second
	// idlePing is after how long without a sign of the client it is asked for
	// one, and pingTimeout how long it has to answer: then its streams end, and
	// with them what they hold.
	idlePing    = 30 * time.Second
	pingTimeout = 20 * time.Second
	// maxStreams is how many calls a connection may have under way; a client
	// keeps further ones back.
	maxStreams = 1024
	// greetingTimeout bounds TLS and HTTP/2 handshakes, so that connections that
	// say nothing do not pile up.
	greetingTimeout = 20 * time.Second
)

func (s *Server) options(config *tls.Config) []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(wire.Codec()),
		grpc.MaxRecvMsgSize(wire.MaxMessageSize),
		grpc.MaxSendMsgSize(wire.MaxMessageSize),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(window),
		grpc.WriteBufferSize(writeBuffer),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAllowed, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: idlePing, Timeout: pingTimeout}),
		grpc.ConnectionTimeout(greetingTimeout),
		grpc.WaitForHandlers(true),
		grpc.UnaryInterceptor(s.recoverUnary),
		grpc.ChainStreamInterceptor(s.recoverStream, s.endStream),
	}
	if config != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(config)))
	}
	return opts
}
