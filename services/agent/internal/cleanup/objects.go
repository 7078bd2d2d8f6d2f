package cleanup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// candidates are objects that may be removable, and their sizes.
type candidates map[string]int64

// notes say since when objects were seen to be unnamed.
type notes map[string]note

type note struct {
	since time.Time
	size  int64
}

// Limits of what one pass, or the Cleaner, remembers of objects. What is beyond
// has its turn when some of these are gone.
const (
	maxCandidates = 200_000
	maxNotes      = 200_000
)

// number is the number in an object's key; see flush.Key.
func number(key string) (uint64, bool) {
	digits, _, ok := strings.Cut(key[strings.LastIndexByte(key, '/')+1:], "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil
}

// list lists the objects under a prefix, some of them where there are more than
// limit or maxCandidates.
func (c *Cleaner) list(ctx context.Context, prefix string, limit int) (candidates, error) {
	found := candidates{}
	for object, err := range c.deps.Objects.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list objects under %s: %w", prefix, err)
		}
		if len(found) >= min(limit, maxCandidates) {
			break
		}
		found[object.Key] = object.Size
	}
	return found, nil
}

// left is what is left of a session.
type left struct {
	rows, objects int
	sealed        bool // by its journal
}

// judgeObjects removes those of a session's objects that nothing names. They were
// listed before v was read, at a time from which on no row can name one that none
// names in v and in the journal, whose rows below from are gone.
func (c *Cleaner) judgeObjects(ctx context.Context, s *session, v *view, objects candidates, from uint64) (left, error) {
	var l left
	l.objects = len(objects)
	for row, err := range meta.Query[*meta.Entry](ctx, c.deps.Rows, s.id, from) {
		if err != nil {
			return l, fmt.Errorf("read journal %s: %w", s.id, err)
		}
		if l.sealed = row.Seal; row.Seal {
			continue
		}
		l.rows++
		for i := range row.Segments {
			delete(objects, row.Segments[i].Key)
		}
	}
	maps.DeleteFunc(objects, func(key string, _ int64) bool { return v.states[key] })
	removed, err := c.removeUnnamed(ctx, &s.unnamed, objects, Object)
	l.objects -= removed
	return l, err
}

// removeUnnamed removes those of objects, which are unnamed, that have been so for
// long enough, and notes the others.
func (c *Cleaner) removeUnnamed(ctx context.Context, noted *notes, objects candidates, what What) (removed int, err error) {
	c.renote(noted, objects)
	due := c.dueOf(*noted)
	for batch := range slices.Chunk(due, maxBatch) {
		if c.late() {
			break
		}
		actions := make([]Action, len(batch))
		for i, key := range batch {
			actions[i] = Action{What: what, Key: key, Bytes: objects[key], Why: Unnamed}
		}
		if err = c.removeObjects(ctx, actions); err != nil {
			break
		}
		removed += len(batch)
		c.noted -= len(batch)
		for _, key := range batch {
			delete(*noted, key)
		}
	}
	c.notesWait(*noted, what)
	return removed, err
}

// dueOf lists what was seen unnamed for long enough, sorted by number: the oldest
// first.
func (c *Cleaner) dueOf(noted notes) []string {
	due := slices.Collect(maps.Keys(noted))
	due = slices.DeleteFunc(due, func(key string) bool { return !c.due(noted[key].since) })
	slices.Sort(due)
	return due
}

func (c *Cleaner) notesWait(noted notes, what What) {
	for _, n := range noted {
		c.waits(what, Unnamed, 1, n.size, n.since)
	}
}

// toList says whether a session's objects are to be listed in a pass: it is time
// to look, or some are to be removed.
func (c *Cleaner) toList(s *session, pass int) bool {
	return pass >= s.list || len(c.dueOf(s.unnamed)) > 0
}

// renote makes notes be of objects and nothing else, as far as there is room.
func (c *Cleaner) renote(noted *notes, objects candidates) {
	before := *noted
	now, after := time.Now(), notes{}
	c.noted -= len(before)
	for key, size := range objects {
		n, known := before[key]
		if !known {
			n = note{since: now, size: size}
		}
		if known || c.noted+len(after) < maxNotes {
			after[key] = n
		}
	}
	c.noted += len(after)
	*noted = after
}

// gone says whether a session has no row. Rows of sessions are made before
// anything else of theirs and never again, so one that left something and has no
// row was finished.
func (c *Cleaner) gone(ctx context.Context, id string) (bool, error) {
	err := c.deps.Rows.Get(ctx, &meta.Session{ID: id})
	return missing(err, "read session")
}
