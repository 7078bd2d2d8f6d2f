// Package rpc answers the agent's gRPC calls: it checks what came in, hands it
// to the host, and says in the error contract what became of it.
package rpc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/cost"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
)

// Options tune the services.
type Options struct {
	Release       string
	Zone          string
	MaxBatchBytes int
	// Prices are those of the stores' requests.
	Prices cost.Prices
}

// Services are what all listeners share.
type Services struct {
	opts    Options
	started time.Time
	catalog *topics.Catalog
	rows    meta.Store
	stats   *stats.Stats
	rooms   rooms
	host    atomic.Pointer[host.Host]
	// refused is when somebody was sent to another agent last.
	refused atomic.Pointer[time.Time]

	mu       sync.Mutex
	stopping bool
	stopped  chan struct{}  // closed when streams shall end
	reads    sync.WaitGroup // reads of streams, which end after their calls
}

// New makes the services; they answer once SetHost was called.
func New(opts Options, catalog *topics.Catalog, rows meta.Store, counts *stats.Stats) *Services {
	return &Services{
		opts: opts, started: time.Now(), catalog: catalog, rows: rows, stats: counts,
		rooms: newRooms(), stopped: make(chan struct{}),
	}
}

// SetHost names the session that answers from now on, nil for none, and returns
// the one that did before.
func (s *Services) SetHost(h *host.Host) *host.Host { return s.host.Swap(h) }

// Host returns the session that answers, or nil.
func (s *Services) Host() *host.Host { return s.host.Load() }

// Refused counts a unary call that ended with an error.
func (s *Services) Refused(err error) { s.stats.Refusals.Inc(label(err)) }

// Stop ends all streams. Unary calls go on; the server waits for them.
func (s *Services) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		close(s.stopped)
	}
}

// Wait returns when nothing reads from a stream any more; the server was
// stopped before.
func (s *Services) Wait() { s.reads.Wait() }

// Register adds the services to the server of one listener. Address is where
// the agent can be reached by those who come in there.
func (s *Services) Register(to grpc.ServiceRegistrar, listener string, address func() string) {
	l := &listening{Services: s, name: listener, address: address}
	streamhousev1.RegisterProducerServiceServer(to, &producerServer{listening: l})
	streamhousev1.RegisterConsumerServiceServer(to, &consumerServer{listening: l})
	streamhousev1.RegisterTopicServiceServer(to, &topicServer{listening: l})
	streamhousev1.RegisterAgentServiceServer(to, &agentServer{listening: l})
	streamhousev1.RegisterClusterServiceServer(to, &clusterServer{listening: l})
}

// listening is the services as seen from one listener.
type listening struct {
	*Services
	name    string
	address func() string
}

// current returns the session that answers now.
func (s *Services) current() (*host.Host, error) {
	if h := s.host.Load(); h != nil {
		return h, nil
	}
	return nil, reason.New(reason.StorageUnavailable, "the agent has not joined its store yet: try again")
}

// owner returns the session that may own partitions. An agent that has not
// joined yet owns none: a producer is told that, and so knows that its batch
// was not appended, and looks for the owner for as long as that takes.
func (s *Services) owner() (*host.Host, error) {
	if h := s.host.Load(); h != nil {
		return h, nil
	}
	return nil, reason.New(reason.NotOwner, "the agent has not joined its store yet and holds no lease: try again")
}

// named is a request that names a partition by its topic's name.
type named interface {
	GetTopic() string
	GetPartition() uint32
}

// tenure finds the partition of a topic that this agent owns. With an id, no
// other topic of the name is meant.
func (s *listening) tenure(ctx context.Context, req named, topic *uint32) (*host.Host, *flush.Tenure, error) {
	h, err := s.owner()
	if err != nil {
		return nil, nil, err
	}
	t, err := s.catalog.Named(ctx, req.GetTopic(), topic)
	if err != nil {
		return nil, nil, err
	}
	id := flush.ID{Topic: t.ID, Partition: req.GetPartition()}
	own := h.Pipeline.Tenure(id)
	if own == nil {
		return nil, nil, s.hint(id, s.notOwner(ctx, t, id.Partition))
	}
	return h, own, nil
}

// notOwner tells a partition that is elsewhere from one that does not exist.
func (s *Services) notOwner(ctx context.Context, t *meta.Topic, partition uint32) error {
	if _, err := s.catalog.With(ctx, t, partition); err != nil {
		return err
	}
	return reason.New(reason.NotOwner, "this agent holds no lease for partition %d of topic %q", partition, t.Name)
}

// refuse makes a status of any error. What is not of the contract is either
// the caller's own context or a store that could not be reached.
func refuse(ctx context.Context, err error) error {
	var own *reason.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	default:
		return reason.New(reason.StorageUnavailable, "%v", err)
	}
}
