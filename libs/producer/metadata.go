package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// metadata asks for topics. A question takes a connection that carries no
// batches, for it must not wait behind them.
type metadata struct {
	conns *ConnectionPool
	seeds []string // what New was given
	// current is the index of the seed that answered last, and is asked first.
	current atomic.Int32
	timeout time.Duration // of one round through all seeds
}

// description is what a producer needs to know of a topic.
type description struct {
	id     uint32
	owners []string // addresses by partition; empty stands for a seed
	zones  []string // of the owners
}

// seeds splits a target, and has every part checked.
func (c *config) seeds(target string) ([]string, error) {
	var seeds []string
	for seed := range strings.SplitSeq(target, ",") {
		seed = strings.TrimSpace(seed)
		if seed == "" {
			return nil, fmt.Errorf("target %q: %w", target, errNoAddress)
		}
		if err := c.check(seed); err != nil {
			return nil, err
		}
		seeds = append(seeds, seed)
	}
	return seeds, nil
}

var errNoAddress = errors.New("an address is empty: name agents, such as localhost:7070")

// seed is where to send what has no owner: some agent will know better.
func (m *metadata) seed() string { return m.seeds[m.current.Load()] }

// describe asks once, or, where a seed cannot be reached or cannot answer, one
// seed after the other. A seed whose connection is known to be broken costs no
// time.
func (m *metadata) describe(ctx context.Context, name string) (*description, *reason.Error) {
	first, n := m.current.Load(), int32(len(m.seeds))
	for at := first; ; {
		d, err := m.describeAt(ctx, m.seeds[at], name)
		if err == nil || err.Recovery() == reason.Fail {
			m.current.Store(at)
			return d, err
		}
		if at = (at + 1) % n; at == first || ctx.Err() != nil {
			return nil, err
		}
	}
}

func (m *metadata) describeAt(ctx context.Context, seed, name string) (*description, *reason.Error) {
	limited, cancel := context.WithTimeout(ctx, m.timeout/time.Duration(len(m.seeds)))
	defer cancel()
	resp, err := m.ask(ctx, limited, seed, name)
	if err != nil {
		return nil, reason.From(err)
	}
	n := resp.GetTopic().GetPartitionCount()
	if n == 0 || n > maxPartitions {
		return nil, &reason.Error{Code: codes.Internal, Message: fmt.Sprintf("agent describes topic %q with %d partitions", name, n)}
	}
	d := &description{id: resp.GetTopic().GetId(), owners: make([]string, n), zones: make([]string, n)}
	for _, pt := range resp.GetPartitions() {
		if i := pt.GetPartition(); i < n {
			d.owners[i], d.zones[i] = pt.GetAddress(), pt.GetZone()
		}
	}
	return d, nil
}

// maxPartitions is what agents allow for a topic, with room for what later
// ones may; a larger number is taken for a broken answer.
const maxPartitions = 1 << 20

// ask asks on behalf of ctx, and waits within limited. A connection on which no
// answer comes may carry nothing any more: the next question takes another one.
func (m *metadata) ask(ctx, limited context.Context, seed, name string) (*streamhousev1.DescribeTopicResponse, error) {
	conn, err := m.conns.get(limited, want{address: seed, weight: 1, patient: true})
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
