package host

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// fewRows is up to how many rows of a topic are read one by one, and not with
// all the others of the topic.
const fewRows = 4

// read reads the rows of partitions. One that was never owned has none yet; it
// gets an empty one, which is created when it is acquired. What cannot be read
// is left out, and in the error.
func (h *Host) read(ctx context.Context, ids []flush.ID) ([]*meta.Partition, error) {
	byTopic := map[uint32][]flush.ID{}
	for _, id := range ids {
		byTopic[id.Topic] = append(byTopic[id.Topic], id)
	}
	var all []*meta.Partition
	var errs []error
	for topic, ids := range byTopic {
		var rows []*meta.Partition
		var err error
		if len(ids) <= fewRows {
			rows, err = h.readEach(ctx, ids)
		} else {
			rows, err = h.readTopic(ctx, topic, ids)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read partitions: %w", err))
		}
		all = append(all, rows...)
	}
	return all, errors.Join(errs...)
}

func (h *Host) readEach(ctx context.Context, ids []flush.ID) (rows []*meta.Partition, err error) {
	var mu sync.Mutex
	var group errgroup.Group
	for _, id := range ids {
		group.Go(func() error {
			row := &meta.Partition{Topic: id.Topic, Partition: id.Partition}
			if err := h.deps.Rows.Get(ctx, row); err != nil && !errors.Is(err, meta.ErrNotFound) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			rows = append(rows, row)
			return nil
		})
	}
	err = group.Wait()
	return rows, err
}

func (h *Host) readTopic(ctx context.Context, topic uint32, ids []flush.ID) ([]*meta.Partition, error) {
	stored := map[uint32]*meta.Partition{}
	for row, err := range meta.Query[*meta.Partition](ctx, h.deps.Rows, meta.TopicHash(topic), 0) {
		if err != nil {
			return nil, err
		}
		stored[row.Partition] = row
	}
	rows := make([]*meta.Partition, 0, len(ids))
	for _, id := range ids {
		row := stored[id.Partition]
		if row == nil {
			row = &meta.Partition{Topic: id.Topic, Partition: id.Partition}
		}
		rows = append(rows, row)
	}
	return rows, nil
}
