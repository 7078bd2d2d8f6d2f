package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Memory is a store that lasts as long as the process: agents that are run one
// after the other over the same Memory find what the others left. For tests.
type Memory struct {
	objects objstore.Store
	rows    meta.Store
	shared  bool
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{objects: memory.NewObjects(), rows: memory.NewRows()}
}

// Shared is the same store for agents that run at the same time. Each watches
// the others, as on a store of the cloud; over the Memory itself, an agent takes
// everybody before it for dead.
func (m *Memory) Shared() *Memory {
	return &Memory{objects: m.objects, rows: m.rows, shared: true}
}

// Over is the same store at the other end of a network of its own: for
// simulations, in which each agent has one.
func (m *Memory) Over(n StoreNetwork) *Memory {
	return &Memory{objects: faults.OverObjects(n, m.objects), rows: faults.OverRows(n, m.rows), shared: m.shared}
}

// Retain sets a topic's retention, with none of the minimums that agents have: for
// simulations, whose logs are short. As in the topic's settings, 0 is no limit.
func (m *Memory) Retain(ctx context.Context, topic string, age time.Duration, bytes int64) error {
	row := &meta.Topic{Name: topic}
	if err := m.rows.Get(ctx, row); err != nil {
		return fmt.Errorf("read topic: %w", err)
	}
	row.RetentionMillis, row.RetentionBytes = age.Milliseconds(), bytes
	if err := m.rows.Swap(ctx, row); err != nil {
		return fmt.Errorf("update topic: %w", err)
	}
	return nil
}

// StoreNetwork decides what becomes of each request of an agent to its store.
type StoreNetwork = faults.Network

// StoreRequest is a request that a StoreNetwork decides about.
type StoreRequest = faults.Request

// StoreFate is what a StoreNetwork decides.
type StoreFate = faults.Fate
