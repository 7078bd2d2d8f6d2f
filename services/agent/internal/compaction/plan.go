package compaction

import (
	"cmp"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// part is what is merged of one partition into one object.
type part struct {
	tenure *flush.Tenure
	ranges []index.Range
	size   int64
	id     uint64 // of the compaction
	total  uint64 // of all batches below the part's end

	source // set once it is read
	err    error
}

func (p *part) base() uint64 { return p.ranges[0].Base }
func (p *part) end() uint64  { return p.ranges[len(p.ranges)-1].End() }

// object is what becomes one object: parts sorted by partition, each of another.
type object struct {
	parts []*part
	size  int64
}

// tail is what one tenure has to merge.
type tail struct {
	tenure *flush.Tenure
	index.Tail
	late int // how many halves of Options.Age its oldest record waits for
}

// backlog sums up what waits to be merged.
type backlog struct {
	ranges int
	bytes  int64
	oldest time.Duration
}

func (b *backlog) add(t *tail, age time.Duration) {
	b.ranges += len(t.Ranges)
	b.bytes += t.Bytes
	b.oldest = max(b.oldest, age)
}

// plan decides what to merge now, in which objects. Each batch of objects fits in
// memory together, so that a small segment is read once for all of them.
func (c *Compactor) plan(tenures []*flush.Tenure, now time.Time) [][]*object {
	due := c.due(tenures, now)
	slices.SortFunc(due, func(a, b tail) int {
		return cmp.Or(-cmp.Compare(a.late, b.late), a.tenure.ID.Compare(b.tenure.ID))
	})
	var batches [][]*object
	held := int64(0)
	for _, o := range c.objects(c.limit(due)) {
		if len(batches) == 0 || held+o.size > c.opts.Memory {
			batches, held = append(batches, nil), 0
		}
		last := len(batches) - 1
		batches[last] = append(batches[last], o)
		held += o.size
	}
	for _, b := range batches {
		for _, o := range b {
			sortParts(o.parts)
		}
	}
	return batches
}

// due are the partitions to merge now: where one is, those that will be soon
// come with it, for they lie in the same segments.
func (c *Compactor) due(tenures []*flush.Tenure, now time.Time) []tail {
	var all []tail
	var whole, ready backlog // what failed of late does not hurry the others
	timely := false
	for _, t := range tenures {
		tail := tail{tenure: t, Tail: t.Index.Tail()}
		if len(tail.Ranges) == 0 {
			continue
		}
		age := now.Sub(tail.Since)
		whole.add(&tail, age)
		if now.Before(c.waiting[t].until) {
			continue
		}
		ready.add(&tail, age)
		tail.late = int(2 * age / c.opts.Age)
		timely = timely || tail.late >= 2
		all = append(all, tail)
	}
	c.deps.Counters.Behind(whole.bytes, whole.oldest)
	c.pace.hurry(ready.oldest > 2*c.opts.Age || ready.bytes > 2*maxBytes*c.opts.Bytes)
	everything := ready.ranges > maxRanges || ready.bytes > maxBytes*c.opts.Bytes
	return slices.DeleteFunc(all, func(t tail) bool {
		return !everything && t.Bytes < c.opts.Bytes && (!timely || t.late < 1)
	})
}

// limit leaves of what is due, sorted, as much as a round merges: of those that are
// equally late, the same share of each. The more there were in a round, the more
// batches would read each of the small segments, in ever smaller pieces: merging
// would get slower the more waits.
func (c *Compactor) limit(due []tail) []tail {
	room := maxBytes * c.opts.Bytes
	for from := 0; from < len(due); {
		to, bytes := from, int64(0)
		for ; to < len(due) && due[to].late == due[from].late; to++ {
			bytes += due[to].Bytes
		}
		if bytes > room {
			for i := range due[from:to] {
				due[from+i].cut(float64(room) / float64(bytes))
			}
			return due[:to]
		}
		room -= bytes
		from = to
	}
	return due
}

// cut leaves a share of a tail: its beginning.
func (t *tail) cut(share float64) {
	most := int64(share * float64(t.Bytes))
	bytes, n := int64(0), 0
	for n == 0 || n < len(t.Ranges) && bytes < most {
		bytes += int64(t.Ranges[n].Size)
		n++
	}
	t.Ranges, t.Bytes = t.Ranges[:n], bytes
}

// objects divides what is due into objects of about Options.Bytes.
func (c *Compactor) objects(due []tail) []*object {
	var all []*object
	open := &object{}
	for _, t := range due {
		for i, p := range c.parts(t) {
			if len(open.parts) > 0 && (i > 0 || open.size+p.size > c.opts.Bytes || len(open.parts) == index.MaxParts) {
				all, open = append(all, open), &object{}
			}
			open.parts = append(open.parts, p)
			open.size += p.size
		}
	}
	if len(open.parts) > 0 {
		all = append(all, open)
	}
	return all
}

// maxPart keeps a part's positions and counts within their 32 bits.
const maxPart = 1 << 30

// parts divides a tail into equal parts, each of which fills an object or less.
func (c *Compactor) parts(t tail) []*part {
	most := min(c.opts.Bytes, maxPart)
	n := max(1, (t.Bytes+most/2)/most)
	limit := t.Bytes / n
	var parts []*part
	total := t.Checkpoint.Bytes
	records := uint64(0)
	for i := range t.Ranges {
		r := &t.Ranges[i]
		last := len(parts) - 1
		if last < 0 || parts[last].size >= limit || records+uint64(r.Records) > maxPart {
			parts = append(parts, &part{tenure: t.tenure, id: c.id(t.tenure), ranges: t.Ranges[i:i]})
			last++
			records = 0
		}
		p := parts[last]
		p.ranges = p.ranges[:len(p.ranges)+1]
		p.size += int64(r.Size)
		records += uint64(r.Records)
		total += uint64(r.Size)
		p.total = total
	}
	return parts
}

func sortParts(parts []*part) {
	slices.SortFunc(parts, func(a, b *part) int {
		return a.tenure.ID.Compare(b.tenure.ID)
	})
}

// covers moves a row's checkpoint to the part's end.
func (p *part) covers(row *meta.Partition, states *States) {
	c := &row.Checkpoint
	c.End, c.Bytes = p.end(), p.total
	c.Compactions = slices.Clone(c.Compactions)
	if n := len(c.Compactions); n > 0 && c.Compactions[n-1].ID == p.id {
		c.Compactions[n-1].End = c.End
	} else {
		c.Compactions = append(c.Compactions, meta.Compaction{ID: p.id, End: c.End})
	}
	row.State, row.StateEnd = states.Key, states.Ends[p.tenure.ID]
	last := &p.ranges[len(p.ranges)-1]
	row.Tenures = slices.DeleteFunc(slices.Clone(row.Tenures), func(t meta.Tenure) bool { return t.End <= c.End })
	for i := range row.Tenures {
		if t := &row.Tenures[i]; t.Start <= last.Base && t.Session == last.Segment.Session {
			t.FirstSeq = max(t.FirstSeq, last.Segment.Seq)
		}
	}
	// The row that commits the last range may commit more of the partition.
	if row.Start <= last.Base && row.Owner == last.Segment.Session {
		row.FirstSeq = max(row.FirstSeq, last.Segment.Seq)
	}
}
