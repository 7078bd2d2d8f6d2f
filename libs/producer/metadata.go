package producer

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// metadata asks for topics, on a connection of its own: a question never waits
// behind batches.
type metadata struct {
	cfg    *config
	target string

	mu     sync.Mutex
	conn   *grpc.ClientConn
	closed bool
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
	return &metadata{cfg: cfg, target: target, conn: conn}, nil
}

// describe asks once. A connection on which no answer comes may carry nothing
// any more: the next question goes over a fresh one.
func (m *metadata) describe(ctx context.Context, name string) (*description, *reason.Error) {
	limited, cancel := context.WithTimeout(ctx, m.cfg.dialTimeout)
	defer cancel()
	conn := m.current()
	resp, err := streamhousev1.NewTopicServiceClient(conn).DescribeTopic(limited, &streamhousev1.DescribeTopicRequest{Name: name})
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		m.replace(conn)
	}
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

func (m *metadata) current() *grpc.ClientConn {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conn
}

// replace makes a fresh connection, unless somebody did already, and closes
// the old one, with the questions that others have on it: they ask again.
func (m *metadata) replace(old *grpc.ClientConn) {
	fresh, err := m.cfg.dial(m.target)
	if err != nil {
		return // it never fails for a target for which it did not fail before
	}
	m.mu.Lock()
	unused := fresh
	if m.conn == old && !m.closed {
		m.conn, unused = fresh, old
	}
	m.mu.Unlock()
	closeQuietly(unused)
}

func (m *metadata) close() error {
	m.mu.Lock()
	m.closed = true
	conn := m.conn
	m.mu.Unlock()
	return conn.Close()
}
