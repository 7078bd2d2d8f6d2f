// Package topics keeps the catalog: which topics there are, under which ids.
// Everything else in the store refers to a topic's id, which is never used
// twice.
package topics

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// maxID keeps packed commits within their 24 bytes (see package journal).
const maxID = 1<<21 - 1

// counterName is the row that topic ids are counted in.
const counterName = "topic-ids"

var validName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Catalog reads and changes the topics. It is safe for concurrent use.
type Catalog struct {
	store         meta.Store
	maxPartitions uint32

	mu     sync.Mutex
	byName map[string]*meta.Topic
	byID   map[uint32]*meta.Topic
	// gone are ids whose topics were deleted, as far as this process saw it.
	gone map[uint32]bool
}

// maxGone bounds the ids that are remembered; they only save reads.
const maxGone = 10_000

// New returns an empty catalog, in which topics have up to maxPartitions
// partitions; Refresh fills it.
func New(store meta.Store, maxPartitions uint32) *Catalog {
	return &Catalog{store: store, maxPartitions: maxPartitions, byName: map[string]*meta.Topic{}, byID: map[uint32]*meta.Topic{}, gone: map[uint32]bool{}}
}

// Refresh reads all topics, sorted by name, and remembers them.
func (c *Catalog) Refresh(ctx context.Context) ([]*meta.Topic, error) {
	var all []*meta.Topic
	for t, err := range meta.Scan[*meta.Topic](ctx, c.store) {
		if err != nil {
			return nil, fmt.Errorf("list topics: %w", err)
		}
		if !t.Deleted {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *meta.Topic) int { return strings.Compare(a.Name, b.Name) })
	c.mu.Lock()
	defer c.mu.Unlock()
	all = slices.DeleteFunc(all, func(t *meta.Topic) bool { return c.gone[t.ID] }) // since it was read
	for i, t := range all {
		if known := c.byID[t.ID]; known != nil && known.Version > t.Version {
			all[i] = known // it was changed since it was read
		}
	}
	clear(c.byName)
	clear(c.byID)
	for _, t := range all {
		c.byName[t.Name], c.byID[t.ID] = t, t
	}
	return all, nil
}

// ByName returns a topic. That there is none is said only after a consistent
// read.
func (c *Catalog) ByName(ctx context.Context, name string) (*meta.Topic, error) {
	c.mu.Lock()
	t := c.byName[name]
	c.mu.Unlock()
	if t != nil {
		return t, nil
	}
	return c.Lookup(ctx, name)
}

// Named returns the topic of a name, and with an id that one or none: a stored
// topic of another id is told only after a consistent read.
func (c *Catalog) Named(ctx context.Context, name string, id *uint32) (*meta.Topic, error) {
	t, err := c.ByName(ctx, name)
	if err != nil || id == nil || t.ID == *id {
		return t, err
	}
	if t, err = c.subject(ctx, name, id); err == nil {
		c.remember(t)
	}
	return t, err
}

// Lookup returns the topic that has a name now. What is remembered may be one
// that another agent has deleted since, and made anew.
func (c *Catalog) Lookup(ctx context.Context, name string) (*meta.Topic, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	t, err := c.read(ctx, name)
	if err != nil {
		return nil, err
	}
	c.remember(t)
	return t, nil
}

// read reads a topic's row consistently.
func (c *Catalog) read(ctx context.Context, name string) (*meta.Topic, error) {
	t := &meta.Topic{Name: name}
	err := c.store.Get(ctx, t)
	if errors.Is(err, meta.ErrNotFound) || err == nil && t.Deleted {
		return nil, unknown(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read topic: %w", err)
	}
	return t, nil
}

// With returns the topic, which was found here, as it is once it has a
// partition. That it has none of that number is said only after a consistent
// read: another agent may have added it.
func (c *Catalog) With(ctx context.Context, t *meta.Topic, partition uint32) (*meta.Topic, error) {
	if partition < t.Partitions {
		return t, nil
	}
	now, err := c.subject(ctx, t.Name, &t.ID)
	if err != nil {
		return nil, err
	}
	c.remember(now)
	if partition >= now.Partitions {
		return nil, reason.New(reason.UnknownTopic, "topic %q has the partitions 0 to %d, not %d", now.Name, now.Partitions-1, partition)
	}
	return now, nil
}

// ByID returns a topic, as ByName does.
func (c *Catalog) ByID(ctx context.Context, id uint32) (*meta.Topic, error) {
	if t := c.cached(id); t != nil {
		return t, nil
	}
	dead, err := c.deleted(ctx, id)
	if err != nil {
		return nil, err
	}
	if !dead {
		all, err := c.Refresh(ctx)
		if err != nil {
			return nil, err
		}
		// Not from memory: an older list may have come in between.
		if i := slices.IndexFunc(all, func(t *meta.Topic) bool { return t.ID == id }); i >= 0 {
			return all[i], nil
		}
	}
	return nil, reason.New(reason.UnknownTopic, "no topic has the id %d: it was deleted, or never made", id)
}

// deleted tells whether a topic has a tombstone: producers that go on sending
// to it cost one read, and not one of all topics for each batch.
func (c *Catalog) deleted(ctx context.Context, id uint32) (bool, error) {
	c.mu.Lock()
	gone := c.gone[id]
	c.mu.Unlock()
	if gone {
		return true, nil
	}
	err := c.store.Get(ctx, &meta.Tombstone{Topic: id})
	if errors.Is(err, meta.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read tombstone: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteGoneLocked(id)
	return true, nil
}

func (c *Catalog) cached(id uint32) *meta.Topic {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// remember keeps what was read or written, unless something newer is known:
// what is read may be old when it comes.
func (c *Catalog) remember(t *meta.Topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.byName[t.Name]; known != nil && known.Version > t.Version {
		return
	}
	c.byName[t.Name], c.byID[t.ID] = t, t
}

func (c *Catalog) forget(t *meta.Topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.byName[t.Name]; now != nil && now.ID == t.ID {
		delete(c.byName, t.Name)
	}
	delete(c.byID, t.ID)
	c.noteGoneLocked(t.ID)
}

// noteGoneLocked remembers a deleted id, which nobody gets again.
func (c *Catalog) noteGoneLocked(id uint32) {
	if len(c.gone) >= maxGone {
		clear(c.gone)
	}
	c.gone[id] = true
}

func unknown(name string) error {
	return reason.New(reason.UnknownTopic, "there is no topic %q: create it first", name)
}

func checkName(name string) error {
	if !validName.MatchString(name) || name == "." || name == ".." {
		return reason.New(reason.InvalidArgument,
			"topic name %q: use 1 to 249 letters, digits, '.', '_' and '-', and neither \".\" nor \"..\"", name)
	}
	return nil
}

// Create makes a topic that keeps its records for ever.
func (c *Catalog) Create(ctx context.Context, name string, partitions uint32) (*meta.Topic, error) {
	t := &meta.Topic{Name: name, Partitions: partitions}
	if err := c.Make(ctx, t); err != nil {
		return nil, err
	}
	return t, nil
}

// Make makes a topic of t's name and settings, and gives t its id.
func (c *Catalog) Make(ctx context.Context, t *meta.Topic) error {
	if err := checkName(t.Name); err != nil {
		return err
	}
	if err := c.check(t); err != nil {
		return err
	}
	if _, err := c.read(ctx, t.Name); !errors.Is(err, reason.UnknownTopic) { // another agent may have deleted it
		return exists(t.Name, err)
	}
	id, err := c.nextID(ctx)
	if err != nil {
		return err
	}
	t.ID = id
	if err := c.write(ctx, t); err != nil {
		return err
	}
	c.remember(t)
	return nil
}

func exists(name string, err error) error {
	if err != nil {
		return err
	}
	return reason.New(reason.TopicExists, "topic %q exists already", name)
}

// write puts t in its row: a new one, or that of a deleted topic. Where the
// outcome is in doubt, the row's id, which nobody else has, tells.
func (c *Catalog) write(ctx context.Context, t *meta.Topic) error {
	old := &meta.Topic{Name: t.Name}
	err := c.store.Get(ctx, old)
	switch {
	case errors.Is(err, meta.ErrNotFound):
		err = c.store.Create(ctx, t)
	case err == nil && !old.Deleted:
		return exists(t.Name, nil)
	case err == nil:
		err = c.replace(ctx, old, t)
	}
	if err == nil {
		return nil
	}
	found, readErr := c.read(ctx, t.Name)
	if readErr != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	if found.ID != t.ID {
		return exists(t.Name, nil)
	}
	*t = *found
	return nil
}

// replace puts t in the row of a deleted topic, whose tombstone has to stand
// first: with its row goes the last that names its id.
func (c *Catalog) replace(ctx context.Context, old, t *meta.Topic) error {
	if err := c.bury(ctx, old); err != nil {
		return err
	}
	t.Header = old.Header
	return c.store.Swap(ctx, t)
}

// bury writes the tombstone of a deleted topic.
func (c *Catalog) bury(ctx context.Context, t *meta.Topic) error {
	err := c.store.Create(ctx, &meta.Tombstone{Topic: t.ID, Name: t.Name})
	if err != nil && !errors.Is(err, meta.ErrExists) {
		return fmt.Errorf("bury topic: %w", err)
	}
	return nil
}

// nextID counts ids up by compare-and-set. A lost answer costs an id, never
// gives one out twice.
func (c *Catalog) nextID(ctx context.Context) (uint32, error) {
	for {
		row := &meta.Counter{Name: counterName}
		err := c.store.Get(ctx, row)
		if errors.Is(err, meta.ErrNotFound) {
			row.Last = 1
			err = c.store.Create(ctx, row)
		} else if err == nil {
			row.Last++
			err = c.store.Swap(ctx, row)
		}
		switch {
		case errors.Is(err, meta.ErrExists), errors.Is(err, meta.ErrConflict):
			continue
		case err != nil:
			return 0, fmt.Errorf("count topic ids: %w", err)
		case row.Last > maxID:
			return 0, reason.New(reason.InvalidArgument, "all %d topic ids are used up", maxID)
		}
		return uint32(row.Last), nil
	}
}

// Delete ends a topic, by marking its row, and leaves a tombstone under its id,
// from which the clean-up of its rows and objects starts. With an id, only the
// topic that has it is deleted.
func (c *Catalog) Delete(ctx context.Context, name string, id *uint32) (*meta.Topic, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	for {
		t, err := c.mortal(ctx, name, id)
		if err != nil {
			return nil, err
		}
		id = &t.ID // whatever stands under the name next is not what was asked for
		t.Deleted = true
		err = c.store.Swap(ctx, t)
		if errors.Is(err, meta.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("delete topic: %w", err)
		}
		c.forget(t)
		return t, c.bury(ctx, t)
	}
}

// mortal reads the topic to delete. One that is deleted already is buried
// again: an earlier try may have ended between its two rows.
func (c *Catalog) mortal(ctx context.Context, name string, id *uint32) (*meta.Topic, error) {
	t := &meta.Topic{Name: name}
	err := c.store.Get(ctx, t)
	switch {
	case errors.Is(err, meta.ErrNotFound):
		return nil, unknown(name)
	case err != nil:
		return nil, fmt.Errorf("read topic: %w", err)
	case t.Deleted:
		c.forget(t)
		if err := c.bury(ctx, t); err != nil {
			return nil, err
		}
		return nil, unknown(name)
	case id != nil && *id != t.ID:
		return nil, reason.New(reason.UnknownTopic, "topic %q has the id %d now, not %d", name, t.ID, *id)
	}
	return t, nil
}
