package cleanup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// pace spreads requests over time.
type pace struct {
	every time.Duration
	free  time.Time // when the next one may be made
}

func (p *pace) wait(ctx context.Context) error {
	now := time.Now()
	begin := now
	if p.free.After(now) {
		begin = p.free
	}
	p.free = begin.Add(p.every)
	return sleep(ctx, begin.Sub(now))
}

// removeRow removes a row as it was read. One that is gone, or was written
// since, is somebody else's.
func (c *Cleaner) removeRow(ctx context.Context, row meta.Row, a Action) error {
	if !c.opts.DryRun {
		if err := c.pace.wait(ctx); err != nil {
			return err
		}
		err := c.deps.Rows.Delete(ctx, row)
		if errors.Is(err, meta.ErrConflict) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("remove %s %s: %w", a.What, a.Key, err)
		}
	}
	c.removed(a)
	return nil
}

// maxBatch is how many objects are removed by one request.
const maxBatch = 500

// removeObjects removes objects by one request.
func (c *Cleaner) removeObjects(ctx context.Context, objects []Action) error {
	if len(objects) == 0 {
		return nil
	}
	if !c.opts.DryRun {
		if err := c.pace.wait(ctx); err != nil {
			return err
		}
		keys := make([]string, len(objects))
		for i := range objects {
			keys[i] = objects[i].Key
		}
		if err := c.deps.Objects.Delete(ctx, keys...); err != nil {
			return fmt.Errorf("remove %d objects: %w", len(keys), err)
		}
	}
	for _, a := range objects {
		c.removed(a)
	}
	return nil
}
