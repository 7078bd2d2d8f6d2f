package cli

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// owners sends each read to the agent that owns the partition. It is safe for
// concurrent use.
type owners struct {
	connection connection
	first      *client

	mu        sync.Mutex
	byAddress map[string]*client
	last      sync.Map // of "topic/partition": the client that answered last
}

// newOwners begins with one agent, and connects to others as to that one.
func newOwners(c *connection, first *client) *owners {
	return &owners{connection: *c, first: first, byAddress: map[string]*client{c.server: first}}
}

// Fetch implements reader.Client.
func (o *owners) Fetch(ctx context.Context, req *streamhousev1.FetchRequest, opts ...grpc.CallOption) (answer *streamhousev1.FetchResponse, err error) {
	err = o.ask(req.GetTopic(), req.GetPartition(), func(c *client) (err error) {
		answer, err = c.reads.Fetch(ctx, req, opts...)
		return err
	})
	return answer, err
}

// FindOffset asks a partition's owner for the offset of a time.
func (o *owners) FindOffset(ctx context.Context, req *streamhousev1.FindOffsetRequest) (answer *streamhousev1.FindOffsetResponse, err error) {
	err = o.ask(req.GetTopic(), req.GetPartition(), func(c *client) (err error) {
		answer, err = c.reads.FindOffset(ctx, req)
		return err
	})
	return answer, err
}

// ask calls the agent that answered last for a partition. Of a refusal that names
// the owner, the owner is asked.
func (o *owners) ask(topic string, partition uint32, call func(*client) error) error {
	key := fmt.Sprintf("%s/%d", topic, partition)
	c := o.first
	if known, ok := o.last.Load(key); ok {
		c = known.(*client) //nolint:forcetypeassert // only clients are stored
	}
	err := call(c)
	if err == nil {
		return nil
	}
	refusal := reason.From(err)
	if refusal.Reason != reason.NotOwner && refusal.Code != codes.Unavailable {
		return err
	}
	o.last.Delete(key)
	address := refusal.Metadata[reason.MetaOwner]
	if address == "" {
		return err
	}
	if c, err = o.client(address); err != nil {
		return err
	}
	o.last.Store(key, c)
	return call(c)
}

func (o *owners) client(address string) (*client, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.byAddress[address]; c != nil {
		return c, nil
	}
	there := o.connection
	there.server = address
	c, err := there.open()
	if err == nil {
		o.byAddress[address] = c
	}
	return c, err
}

// close hangs up on all but the first, which is its opener's.
func (o *owners) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.byAddress {
		if c != o.first {
			_ = c.conn.Close() // nothing was sent
		}
	}
}
