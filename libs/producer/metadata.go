package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// metadata asks for topics. A question takes a connection that carries no
// batches, for it must not wait behind them.
type metadata struct {
	conns   *ConnectionPool
	seeds   []string      // what New was given
	timeout time.Duration // of one round through all agents

	mu struct {
		sync.Mutex
		// known are the agents to ask, the one that answered last first: the
		// seeds, and some of the owners that they told of.
		known []string
	}
}

func newMetadata(conns *ConnectionPool, seeds []string, timeout time.Duration) *metadata {
	m := &metadata{conns: conns, seeds: seeds, timeout: timeout}
	m.mu.known = slices.Clone(seeds)
	return m
}

const (
	// maxOwnersAsked is how many agents are asked besides the seeds.
	maxOwnersAsked = 3
	// askAnother is how long one agent is waited for before the next is asked
	// as well: one that stands still does not refuse.
	askAnother = time.Second
)

// description is what a producer needs to know of a topic.
type description struct {
	id     uint32
	owners []string // addresses by partition; empty stands for any agent
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
func (m *metadata) seed() string { return m.agents()[0] }

// agents are those to ask, in turn.
func (m *metadata) agents() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.known
}

// answered notes who is to be asked first from now on, and whom besides the
// seeds.
func (m *metadata) answered(agent string, d *description) {
	known := []string{agent}
	add := func(address string) {
		if address != "" && !slices.Contains(known, address) {
			known = append(known, address)
		}
	}
	for _, seed := range m.seeds {
		add(seed)
	}
	for _, owner := range d.owners {
		if len(known) == len(m.seeds)+maxOwnersAsked {
			break
		}
		add(owner)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.known = known
}

// answer is what one agent said.
type answer struct {
	from        string
	description *description
	err         *reason.Error
}

// final tells whether nobody else needs to be asked.
func (a answer) final() bool { return a.err == nil || a.err.Recovery() == reason.Fail }

// describe asks one agent, and the next one where that cannot be reached, cannot
// answer, or says nothing for a second. The first answer counts.
func (m *metadata) describe(ctx context.Context, name string) (*description, *reason.Error) {
	agents := m.agents()
	answers := make(chan answer, len(agents))
	asking, cancel := context.WithCancel(ctx)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next, open := 0, 0; ; {
		var due <-chan time.Time // of the next agent
		if next < len(agents) {
			due = timer.C
		}
		select {
		case <-due:
			agent := agents[next]
			asked.Go(func() {
				d, err := m.describeAt(ctx, asking, agent, name)
				answers <- answer{agent, d, err}
			})
			next, open = next+1, open+1
			timer.Reset(min(askAnother, m.timeout/time.Duration(len(agents))))
		case a := <-answers:
			open--
			switch {
			case a.final():
				if a.err == nil {
					m.answered(a.from, a.description)
				}
				return a.description, a.err
			case open == 0 && next == len(agents) || ctx.Err() != nil:
				return nil, a.err
			case open == 0:
				timer.Reset(0)
			}
		}
	}
}

// describeAt asks one agent on behalf of ctx, as long as asking lasts.
func (m *metadata) describeAt(ctx, asking context.Context, agent, name string) (*description, *reason.Error) {
	limited, cancel := context.WithTimeout(asking, m.timeout)
	defer cancel()
	resp, err := m.ask(ctx, limited, agent, name)
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
func (m *metadata) ask(ctx, limited context.Context, agent, name string) (*streamhousev1.DescribeTopicResponse, error) {
	conn, err := m.conns.get(limited, want{address: agent, weight: 1, patient: true})
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
