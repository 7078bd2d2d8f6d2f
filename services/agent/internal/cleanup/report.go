package cleanup

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// What is a kind of thing that is removed.
type What string

// The kinds.
const (
	JournalRow   What = "journal row"
	Segment      What = "segment"
	Object       What = "object"
	MergedObject What = "merged object"
	IndexRow     What = "index row"
	MergeRow     What = "merge row"
	PartitionRow What = "partition row"
	TopicMark    What = "tombstone" // it stays, marked as done
	SessionRow   What = "session row"
)

// stored says that it is an object; all others are rows.
func (w What) stored() bool { return w == Segment || w == Object || w == MergedObject }

// Why is why something is removed.
type Why string

// The reasons.
const (
	Merged   Why = "all that it commits was merged, or its topic deleted"
	Unnamed  Why = "no row names it"
	Expired  Why = "no checkpoint names what is in it"
	Deleted  Why = "its topic was deleted"
	Finished Why = "its session is finished, and left nothing"
)

// Action is one removal.
type Action struct {
	What  What   `json:"what"`
	Key   string `json:"key"`
	Bytes int64  `json:"bytes,omitempty"`
	Why   Why    `json:"why"`
}

// Group is what and why.
type Group struct {
	What What
	Why  Why
}

// Count sums up a group.
type Count struct {
	Number int
	// Bytes are those of objects; of merged objects and journal rows that wait they
	// are those of the objects that go with them.
	Bytes int64
	// Rows are those of Number that are rows.
	Rows int
	// Oldest is for how long the first of those that wait was seen.
	Oldest time.Duration
}

// Report counts what a pass removed, and what is removable and waits for the
// grace or for its turn. One that removes nothing counts what it would.
type Report struct {
	Removed, Waiting map[Group]Count
}

// Rows counts the rows that were removed.
func (r *Report) Rows() (n int) {
	for g, c := range r.Removed {
		if !g.What.stored() {
			n += c.Number
		}
	}
	return n
}

// Objects counts the objects that were removed, and their bytes.
func (r *Report) Objects() (n int, bytes int64) {
	for g, c := range r.Removed {
		if g.What.stored() {
			n += c.Number
			bytes += c.Bytes
		}
	}
	return n, bytes
}

// Backlog sums up what waits.
func (r *Report) Backlog() (all Count) {
	for _, c := range r.Waiting {
		all.Number += c.Number
		all.Bytes += c.Bytes
		all.Rows += c.Rows
		all.Oldest = max(all.Oldest, c.Oldest)
	}
	return all
}

// Groups lists the keys of Removed or of Waiting, sorted.
func Groups(counts map[Group]Count) []Group {
	return slices.SortedFunc(maps.Keys(counts), func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Why, b.Why), cmp.Compare(a.What, b.What))
	})
}

// removed counts a removal, and tells of it.
func (c *Cleaner) removed(a Action) {
	g := Group{a.What, a.Why}
	n := c.report.Removed[g]
	n.Number++
	n.Bytes += a.Bytes
	c.report.Removed[g] = n
	if c.opts.Each != nil {
		c.opts.Each(a)
	}
	if !c.opts.DryRun {
		c.deps.Logger.Debug("removed", slog.String("what", string(a.What)), slog.String("key", a.Key),
			slog.Int64("bytes", a.Bytes), slog.String("why", string(a.Why)))
	}
}

// waits counts what is removable and not removed yet.
func (c *Cleaner) waits(what What, why Why, number int, bytes int64, since time.Time) {
	g := Group{what, why}
	n := c.report.Waiting[g]
	n.Number += number
	n.Bytes += bytes
	if !what.stored() {
		n.Rows += number
	}
	n.Oldest = max(n.Oldest, time.Since(since))
	c.report.Waiting[g] = n
}
