package producer

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// metadata asks for topics, on a connection of its own: a question never waits
// behind batches.
type metadata struct {
	conn    *grpc.ClientConn
	client  streamhousev1.TopicServiceClient
	timeout time.Duration
}

// description is what a producer needs to know of a topic.
type description struct {
	id     uint32
	owners []string // addresses by partition; empty stands for the target
}

func newMetadata(target string, cfg *config) (*metadata, error) {
	conn, err := cfg.dial(target)
	if err != nil {
		return nil, err
	}
	return &metadata{conn: conn, client: streamhousev1.NewTopicServiceClient(conn), timeout: cfg.dialTimeout}, nil
}

// describe asks once.
func (m *metadata) describe(ctx context.Context, name string) (*description, *reason.Error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	resp, err := m.client.DescribeTopic(ctx, &streamhousev1.DescribeTopicRequest{Name: name})
	if err != nil {
		return nil, reason.From(err)
	}
	n := resp.GetTopic().GetPartitionCount()
	if n == 0 || n > maxPartitions {
		return nil, &reason.Error{Code: codes.Internal, Message: fmt.Sprintf("agent describes topic %q with %d partitions", name, n)}
	}
	d := &description{id: resp.GetTopic().GetId(), owners: make([]string, n)}
	for _, pt := range resp.GetPartitions() {
		if i := pt.GetPartition(); i < n {
			d.owners[i] = pt.GetAddress()
		}
	}
	return d, nil
}

// maxPartitions is what agents allow for a topic, with room for what later
// ones may; a larger number is taken for a broken answer.
const maxPartitions = 1 << 20

func (m *metadata) close() error { return m.conn.Close() }
