package process

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// Client speaks to an agent as any program could: generated code over gRPC's
// own codec.
type Client struct {
	Conn     *grpc.ClientConn
	Topics   streamhousev1.TopicServiceClient
	Producer streamhousev1.ProducerServiceClient
	Consumer streamhousev1.ConsumerServiceClient
	Agent    streamhousev1.AgentServiceClient
}

// Client connects to the agent, until the test ends. Calls wait for an agent
// that is on its way up. Without opts the connection is plaintext.
func (a *Agent) Client(opts ...grpc.DialOption) *Client {
	a.t.Helper()
	if len(opts) == 0 {
		opts = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	conn, err := grpc.NewClient(a.Addr, append(opts, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32<<20)))...)
	if err != nil {
		a.t.Fatalf("dial agent: %v", err)
	}
	a.t.Cleanup(func() { _ = conn.Close() }) // it only says that it is closed
	return &Client{
		Conn:     conn,
		Topics:   streamhousev1.NewTopicServiceClient(conn),
		Producer: streamhousev1.NewProducerServiceClient(conn),
		Consumer: streamhousev1.NewConsumerServiceClient(conn),
		Agent:    streamhousev1.NewAgentServiceClient(conn),
	}
}

// CreateTopic makes a topic on the agent and returns its id.
func (a *Agent) CreateTopic(name string, partitions uint32) uint32 {
	a.t.Helper()
	made, err := a.Client().Topics.CreateTopic(a.t.Context(), &streamhousev1.CreateTopicRequest{Name: name, PartitionCount: partitions})
	if err != nil {
		a.t.Fatalf("create topic: %v", err)
	}
	return made.GetTopic().GetId()
}
