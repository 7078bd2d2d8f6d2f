package history

import (
	"fmt"
	"maps"
	"slices"
)

// Kind is a way in which a log can be wrong.
type Kind string

// The kinds.
const (
	// Lost: a record was acknowledged and is not in the log.
	Lost Kind = "lost"
	// Doubled: a record is in the log more than once.
	Doubled Kind = "doubled"
	// Misplaced: a record is not at the offset of its acknowledgement.
	Misplaced Kind = "misplaced"
	// Disordered: a producer's records do not stand in the order of sending.
	Disordered Kind = "disordered"
	// Gap: offsets do not count by one, from 0 or from where the log begins.
	Gap Kind = "gap"
	// Undead: a record is in the log though its producer was told that it is
	// not and never will be.
	Undead Kind = "undead"
	// Foreign: a record in the log is damaged, was never sent, or was sent to
	// another partition.
	Foreign Kind = "foreign"
	// Contradicted: a producer was told two things about one record.
	Contradicted Kind = "contradicted"
)

// Violation is one fault of a log.
type Violation struct {
	Kind      Kind
	Partition uint32
	Text      string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s", v.Kind, v.Text) }

// Entry is one record of a partition, as a reader found it.
type Entry struct {
	Offset uint64
	ID     ID
	// Err is why the value is not one that a producer sent.
	Err error
}

// Log is each partition's records, in the order in which they were read.
type Log map[uint32][]Entry

// Records is the number of records in all partitions.
func (l Log) Records() int {
	n := 0
	for _, entries := range l {
		n += len(entries)
	}
	return n
}

// Check returns everything that is wrong with a log that was read after the
// last resolution. A record that failed as unknown may be there once or not at
// all; so may one that is still pending. Neither has a place in its producer's
// order: a late copy may come after what its producer sent next.
func (h *History) Check(log Log) []Violation { return h.CheckFrom(log, nil) }

// CheckFrom is Check for partitions that retention let begin at later offsets than
// 0: what was acknowledged below is not looked for.
func (h *History) CheckFrom(log Log, starts map[uint32]uint64) []Violation {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := checker{found: map[ID]uint64{}, violations: slices.Clone(h.mu.contradictions), series: h.mu.series, starts: starts}
	for _, partition := range slices.Sorted(maps.Keys(log)) {
		c.partition(partition, log[partition])
	}
	c.missing()
	return c.violations
}

// checker goes through a log once.
type checker struct {
	series     map[series][]fate
	starts     map[uint32]uint64
	found      map[ID]uint64
	violations []Violation
}

func (c *checker) report(kind Kind, partition uint32, format string, args ...any) {
	c.violations = append(c.violations, Violation{kind, partition, fmt.Sprintf(format, args...)})
}

func (c *checker) partition(partition uint32, entries []Entry) {
	last := map[uint32]ID{} // of the acknowledged, by producer
	for i, e := range entries {
		if due := c.starts[partition] + uint64(i); e.Offset != due {
			c.report(Gap, partition, "partition %d has offset %d where %d is due", partition, e.Offset, due)
		}
		fate, ok := c.known(partition, e)
		if !ok {
			continue
		}
		if first, twice := c.found[e.ID]; twice {
			c.report(Doubled, partition, "%v stands at offset %d and at %d", e.ID, first, e.Offset)
			continue
		}
		c.found[e.ID] = e.Offset
		switch fate.state {
		case acked:
			c.acked(e, fate, last)
		case notDone:
			c.report(Undead, partition, "%v failed as not done and stands at offset %d", e.ID, e.Offset)
		case pending, unknown:
		}
	}
}

// known finds what the producer of an entry was told of it.
func (c *checker) known(partition uint32, e Entry) (fate, bool) {
	if e.Err != nil {
		c.report(Foreign, partition, "offset %d of partition %d: %v", e.Offset, partition, e.Err)
		return fate{}, false
	}
	sent := c.series[series{e.ID.Producer, e.ID.Partition}]
	if e.ID.Partition != partition || e.ID.Number >= uint64(len(sent)) {
		c.report(Foreign, partition, "offset %d of partition %d holds %v", e.Offset, partition, e.ID)
		return fate{}, false
	}
	return sent[e.ID.Number], true
}

func (c *checker) acked(e Entry, f fate, last map[uint32]ID) {
	if f.offset != e.Offset {
		c.report(Misplaced, e.ID.Partition, "%v is acknowledged at offset %d and stands at %d", e.ID, f.offset, e.Offset)
	}
	if before, ok := last[e.ID.Producer]; ok && before.Number > e.ID.Number {
		c.report(Disordered, e.ID.Partition, "%v stands after its successor %d", e.ID, before.Number)
	}
	last[e.ID.Producer] = e.ID
}

// missing reports what was acknowledged and not found.
func (c *checker) missing() {
	for s, fates := range c.series {
		for n, f := range fates {
			id := ID{s.producer, s.partition, uint64(n)}
			if _, ok := c.found[id]; f.state == acked && f.offset >= c.starts[s.partition] && !ok {
				c.report(Lost, s.partition, "%v is acknowledged at offset %d and not in the log", id, f.offset)
			}
		}
	}
}
