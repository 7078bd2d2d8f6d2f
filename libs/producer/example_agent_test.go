package producer_test

import (
	"net"
	"sync"

	"google.golang.org/grpc"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
)

// startAgent stands for a cluster where an example runs: it has every topic,
// with 16 partitions, and keeps nothing. A program of your own has an address
// such as "dns:///agents.internal:9092" instead.
func startAgent() (address string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec()))
	streamhousev1.RegisterProducerServiceServer(server, blackHole{})
	streamhousev1.RegisterTopicServiceServer(server, blackHole{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // it ends by Stop
	return listener.Addr().String(), func() {
		server.Stop()
		serving.Wait()
	}
}
