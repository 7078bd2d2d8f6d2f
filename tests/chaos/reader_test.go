package chaos

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// reader asks whichever agent answers: each partition is read from its owner.
type reader struct {
	streamhousev1.TopicServiceClient
	streamhousev1.ConsumerServiceClient
	owners []streamhousev1.ConsumerServiceClient
	last   int
}

func newReader(t *testing.T, c *cluster) *reader {
	t.Helper()
	r := &reader{}
	for _, n := range c.nodes {
		client := n.client
		r.TopicServiceClient = client.Topics
		r.owners = append(r.owners, client.Consumer)
	}
	return r
}

// readPatience is how long a partition may have no owner that answers.
const readPatience = 30 * time.Second

// Fetch asks the agents in turn, beginning with the one that answered last.
func (r *reader) Fetch(ctx context.Context, req *streamhousev1.FetchRequest, opts ...grpc.CallOption) (*streamhousev1.FetchResponse, error) {
	for began := time.Now(); ; r.last = (r.last + 1) % len(r.owners) {
		page, err := r.owners[r.last].Fetch(ctx, req, opts...)
		if err == nil || ctx.Err() != nil || time.Since(began) > readPatience {
			return page, err
		}
		time.Sleep(time.Millisecond)
	}
}
