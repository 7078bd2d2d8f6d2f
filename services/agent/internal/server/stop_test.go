package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// wait makes a Produce that takes d, or as long as its context and then still
// tidies up for a while. (Under synctest, not while a graceful stop runs as
// well: gRPC then sleeps on a mutex, which stops the clock.)
func wait(d, tidy time.Duration) func(context.Context, *streamhousev1.ProduceRequest) (*streamhousev1.ProduceResponse, error) {
	return func(ctx context.Context, _ *streamhousev1.ProduceRequest) (*streamhousev1.ProduceResponse, error) {
		select {
		case <-time.After(d):
			return &streamhousev1.ProduceResponse{BaseOffset: 1}, nil
		case <-ctx.Done():
			time.Sleep(tidy)
			return nil, context.Cause(ctx)
		}
	}
}

// produce calls in the background, and returns once the call is running.
func produce(t *testing.T, f *fixture) <-chan error {
	t.Helper()
	result := make(chan error, 1)
	client := f.producer()
	go func() {
		_, err := client.Produce(context.Background(), &streamhousev1.ProduceRequest{})
		result <- err
	}()
	synctest.Wait()
	return result
}

// A call that runs when the stop begins gets its answer; one that comes later
// is turned away.
func TestGracefulStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {produce: wait(5*time.Second, 0)}})
		result, begun := produce(t, f), time.Now()
		stopped := make(chan error, 1)
		go func() { stopped <- f.end(time.Minute) }()
		synctest.Wait()
		if _, err := f.producer().Produce(t.Context(), &streamhousev1.ProduceRequest{}); status.Code(err) != codes.Unavailable {
			t.Errorf("a call after Stop got %v", err)
		}
		if err := <-result; err != nil {
			t.Errorf("the running call got %v", err)
		}
		if err := <-stopped; err != nil || time.Since(begun) != 5*time.Second {
			t.Errorf("Stop returned %v after %s", err, time.Since(begun))
		}
	})
}

// A call that does not end is cut at the limit.
func TestStopLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {produce: wait(time.Hour, 0)}})
		result, begun := produce(t, f), time.Now()
		if err := f.end(10 * time.Second); err == nil || time.Since(begun) != 10*time.Second {
			t.Errorf("Stop returned %v after %s", err, time.Since(begun))
		}
		if err := <-result; status.Code(err) != codes.Unavailable {
			t.Errorf("the cut call got %v", err)
		}
	})
}

// The end of Serve's context cuts at once, and Serve returns when the handler
// is through: nothing that it uses is closed under it.
func TestServeContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {produce: wait(time.Hour, time.Second)}})
		result, begun := produce(t, f), time.Now()
		f.cancel()
		if err := <-f.served; err != nil || time.Since(begun) != time.Second {
			t.Errorf("Serve returned %v after %s", err, time.Since(begun))
		}
		if err := <-result; status.Code(err) != codes.Unavailable {
			t.Errorf("the cut call got %v", err)
		}
	})
}

func check(t *testing.T, conn *grpc.ClientConn, name string) grpc_health_v1.HealthCheckResponse_ServingStatus {
	t.Helper()
	got, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: name})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetStatus()
}

// The check without a name means the process, so that nobody kills an agent
// that drains; the services' names mean readiness.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {produce: answer(1)}})
		conn := f.dial("internal")
		const producer = "streamhouse.v1.ProducerService"
		for _, name := range []string{"", producer} {
			if got := check(t, conn, name); got != grpc_health_v1.HealthCheckResponse_SERVING {
				t.Errorf("%q is %s at first", name, got)
			}
		}
		f.Withdraw()
		if got := check(t, conn, ""); got != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("the process is %s after Withdraw", got)
		}
		if got := check(t, conn, producer); got != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
			t.Errorf("%s is %s after Withdraw", producer, got)
		}
		if _, err := streamhousev1.NewProducerServiceClient(conn).Produce(t.Context(), &streamhousev1.ProduceRequest{}); err != nil {
			t.Errorf("a call after Withdraw got %v", err)
		}
	})
}

// Health watches and reflection last as long as their client likes: a graceful
// stop must not wait for them.
func TestStopEndsWatchesAndReflection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {}})
		conn := f.dial("internal")
		watch, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := watch.Recv(); err != nil {
			t.Fatal(err)
		}
		reflect, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := f.end(time.Minute); err != nil || time.Since(begun) != 0 {
			t.Errorf("Stop returned %v after %s", err, time.Since(begun))
		}
		for name, recv := range map[string]func() error{
			"watch":      func() error { _, err := watch.Recv(); return err },
			"reflection": func() error { _, err := reflect.Recv(); return err },
		} {
			if err := recv(); status.Code(err) != codes.Unavailable {
				t.Errorf("the %s ended with %v, want UNAVAILABLE", name, err)
			}
		}
	})
}

// grpcurl asks v1 first and falls back to v1alpha; older tools know only that.
func TestReflection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil, map[string]*service{"internal": {}})
		conn := f.dial("internal")
		v1, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		list := &grpc_reflection_v1.ServerReflectionRequest_ListServices{}
		if err := v1.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: list}); err != nil {
			t.Fatal(err)
		}
		got, err := v1.Recv()
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, s := range got.GetListServicesResponse().GetService() {
			names[s.GetName()] = true
		}
		if !names["streamhouse.v1.ProducerService"] || !names["grpc.health.v1.Health"] {
			t.Errorf("v1 lists %v", names)
		}
		// The generated v1alpha types are deprecated; on the wire they are v1's.
		alpha, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
			"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
		if err != nil {
			t.Fatal(err)
		}
		symbol := &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "streamhouse.v1.ProducerService"}
		if err := alpha.SendMsg(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: symbol}); err != nil {
			t.Fatal(err)
		}
		got.Reset()
		if err := alpha.RecvMsg(got); err != nil || len(got.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("v1alpha answered %v, %v", got, err)
		}
	})
}
