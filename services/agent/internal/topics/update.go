package topics

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Change is what to change of a topic; nil stays as it is.
type Change struct {
	// ID, when given, is the topic that is meant: no other of the same name.
	ID         *uint32
	Partitions *uint32
	// The two as meta.Topic has them.
	RetentionMillis, RetentionBytes *int64
}

// Update changes a topic and returns it as it is then. What is so already is no
// error, so that whoever heard of no end may ask again.
func (c *Catalog) Update(ctx context.Context, name string, change Change) (*meta.Topic, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	for {
		t, err := c.subject(ctx, name, change.ID)
		if err != nil {
			return nil, err
		}
		change.ID = &t.ID // whatever stands under the name next is not what was asked for
		changed, err := c.apply(t, change)
		if err != nil {
			return nil, err
		}
		if changed {
			err = c.store.Swap(ctx, t)
		}
		switch {
		case err == nil:
			c.remember(t)
			return t, nil
		case !errors.Is(err, meta.ErrConflict):
			return c.resolve(ctx, name, change, err)
		}
	}
}

// subject reads the topic to change.
func (c *Catalog) subject(ctx context.Context, name string, id *uint32) (*meta.Topic, error) {
	t, err := c.read(ctx, name)
	if err != nil {
		return nil, err
	}
	if id != nil && *id != t.ID {
		return nil, reason.New(reason.UnknownTopic, "topic %q has the id %d now, not %d", name, t.ID, *id)
	}
	return t, nil
}

// apply sets in t what a change asks for; changed is false where all of it is so
// already.
func (c *Catalog) apply(t *meta.Topic, change Change) (changed bool, err error) {
	before := *t
	if n := change.Partitions; n != nil {
		if *n < t.Partitions {
			return false, reason.New(reason.InvalidArgument,
				"topic %q has %d partitions, and their number can only grow, not fall to %d: to have fewer, make another topic", t.Name, t.Partitions, *n)
		}
		t.Partitions = *n
	}
	if ms := change.RetentionMillis; ms != nil {
		t.RetentionMillis = *ms
	}
	if bytes := change.RetentionBytes; bytes != nil {
		t.RetentionBytes = *bytes
	}
	if *t == before {
		return false, nil
	}
	return true, c.check(t)
}

// resolve reads what became of a change whose outcome is unknown. It may still
// land later; but where all of it is so, nothing is left to land.
func (c *Catalog) resolve(ctx context.Context, name string, change Change, unknown error) (*meta.Topic, error) {
	t, err := c.subject(ctx, name, change.ID)
	if errors.Is(err, reason.UnknownTopic) {
		return nil, err
	}
	if err == nil {
		if changed, err := c.apply(t, change); err == nil && !changed {
			c.remember(t)
			return t, nil
		}
	}
	return nil, fmt.Errorf("update topic: %w", unknown)
}
