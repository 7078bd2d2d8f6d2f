// Package peer is how agents talk to each other, over the gRPC service that one
// of their listeners offers. It implements host.Peers.
package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	peerv1 "github.com/streamhouse/streamhouse/proto/streamhouse/peer/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Client calls other agents. It is safe for concurrent use.
type Client struct {
	listener string
	opts     []grpc.DialOption

	mu     sync.Mutex
	conns  map[string]*grpc.ClientConn // by address
	closed bool
}

// connecting gives an agent up soon that does not answer: the caller has others
// to ask, and the store.
var connecting = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: time.Second,
}

// New returns a client that reaches agents at the address that they advertise
// on the named listener. The options hold the credentials.
func New(listener string, opts ...grpc.DialOption) *Client {
	opts = append([]grpc.DialOption{grpc.WithConnectParams(connecting)}, opts...)
	return &Client{listener: listener, opts: opts, conns: map[string]*grpc.ClientConn{}}
}

// Offer implements host.Peers.
func (c *Client) Offer(ctx context.Context, to *meta.Session, ids []flush.ID) (taken []flush.ID, err error) {
	err = c.call(to, func(peer peerv1.PeerServiceClient) error {
		answer, err := peer.Offer(ctx, &peerv1.OfferRequest{Session: to.ID, Partitions: toProto(ids)})
		taken = fromProto(answer.GetTaken())
		return err
	})
	return taken, err
}

// HandOver implements host.Peers.
func (c *Client) HandOver(ctx context.Context, to *meta.Session, ids []flush.ID) error {
	return c.call(to, func(peer peerv1.PeerServiceClient) error {
		_, err := peer.HandOver(ctx, &peerv1.HandOverRequest{Session: to.ID, Partitions: toProto(ids)})
		return err
	})
}

// Wake implements host.Peers.
func (c *Client) Wake(ctx context.Context, to *meta.Session) error {
	return c.call(to, func(peer peerv1.PeerServiceClient) error {
		_, err := peer.Wake(ctx, &peerv1.WakeRequest{Session: to.ID})
		return err
	})
}

// call makes one call. A connection over which one failed is not used again:
// connections to agents that are gone must not pile up.
func (c *Client) call(to *meta.Session, do func(peerv1.PeerServiceClient) error) error {
	address := to.Addresses[c.listener]
	if address == "" {
		return fmt.Errorf("agent %s has no listener %q", to.Agent, c.listener)
	}
	conn, err := c.conn(address)
	if err == nil {
		err = do(peerv1.NewPeerServiceClient(conn))
	}
	if err != nil {
		c.drop(address, conn)
		return fmt.Errorf("call agent %s at %s: %w", to.Agent, address, err)
	}
	return nil
}

var errClosed = errors.New("the agent ends")

func (c *Client) conn(address string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if conn := c.conns[address]; conn != nil {
		return conn, nil
	}
	conn, err := grpc.NewClient("passthrough:///"+address, c.opts...) // does not connect yet
	if err == nil {
		c.conns[address] = conn
	}
	return conn, err
}

func (c *Client) drop(address string, conn *grpc.ClientConn) {
	if conn == nil {
		return
	}
	c.mu.Lock()
	if c.conns[address] == conn {
		delete(c.conns, address)
	}
	c.mu.Unlock()
	_ = conn.Close() // another call may have closed it
}

// Close ends all connections, and calls under way with them.
func (c *Client) Close() {
	c.mu.Lock()
	conns := c.conns
	c.conns, c.closed = nil, true
	c.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close() // nothing is done about it
	}
}

func toProto(ids []flush.ID) []*peerv1.PartitionId {
	out := make([]*peerv1.PartitionId, len(ids))
	for i, id := range ids {
		out[i] = &peerv1.PartitionId{Topic: id.Topic, Partition: id.Partition}
	}
	return out
}

func fromProto(ids []*peerv1.PartitionId) []flush.ID {
	out := make([]flush.ID, len(ids))
	for i, id := range ids {
		out[i] = flush.ID{Topic: id.GetTopic(), Partition: id.GetPartition()}
	}
	return out
}
