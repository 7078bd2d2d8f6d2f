package producer

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// metadata asks for topics. A question takes a connection that carries no
// batches, for it must not wait behind them.
type metadata struct {
	conns   *ConnectionPool
	target  string
	timeout time.Duration
}

// description is what a producer needs to know of a topic.
type description struct {
	id     uint32
	owners []string // addresses by partition; empty stands for the target
}

// describe asks once.
func (m *metadata) describe(ctx context.Context, name string) (*description, *reason.Error) {
	limited, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	resp, err := m.ask(ctx, limited, name)
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

// ask asks on behalf of ctx, and waits within limited. A connection on which no
// answer comes may carry nothing any more: the next question takes another one.
func (m *metadata) ask(ctx, limited context.Context, name string) (*streamhousev1.DescribeTopicResponse, error) {
	conn, err := m.conns.get(limited, want{address: m.target, weight: 1, patient: true})
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	resp, err := streamhousev1.NewTopicServiceClient(conn).DescribeTopic(limited, &streamhousev1.DescribeTopicRequest{Name: name})
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		conn.MarkUnhealthy()
	}
	return resp, err
}
