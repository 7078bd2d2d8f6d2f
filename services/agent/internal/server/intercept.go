package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/proto/reason"
)

func (s *Server) recoverUnary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (resp any, err error) {
	defer func() {
		if err != nil && s.refused != nil {
			s.refused(err)
		}
	}()
	defer s.recovered(info.FullMethod, &err)
	return handle(ctx, req)
}

func (s *Server) recoverStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer s.recovered(info.FullMethod, &err)
	return handle(srv, stream)
}

// recovered turns a panic of one call into its INTERNAL, which a client takes
// as an unknown outcome. The other calls go on.
func (s *Server) recovered(method string, err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	s.log.Error("a call panicked", slog.String("method", method),
		slog.String("panic", fmt.Sprint(cause)), slog.String("stack", string(debug.Stack())))
	*err = status.Error(codes.Internal, "the agent met a fault of its own; its log tells more")
}

// endStream ends streams of health and reflection when the server stops. They
// last as long as the client likes, and a graceful stop would wait for them.
// The agent's own streams end by themselves, after their last answer.
func (s *Server) endStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if !strings.HasPrefix(info.FullMethod, "/grpc.") {
		return handle(srv, stream)
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	err := handle(srv, &endingStream{ServerStream: stream, ctx: ctx, reads: &s.reads})
	if s.stopping.Err() != nil {
		return reason.New(reason.Draining, "the agent is shutting down")
	}
	return err
}

// endingStream ends with its context even while it waits for a message. The
// read that is left behind ends with the call, when the handler has returned.
type endingStream struct {
	grpc.ServerStream
	ctx   context.Context
	reads *sync.WaitGroup
}

func (e *endingStream) Context() context.Context { return e.ctx }

func (e *endingStream) RecvMsg(m any) error {
	read := make(chan error, 1)
	e.reads.Go(func() { read <- e.ServerStream.RecvMsg(m) })
	select {
	case err := <-read:
		return err
	case <-e.ctx.Done():
		return context.Cause(e.ctx)
	}
}
