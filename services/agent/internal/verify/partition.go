package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// partition is one partition's row and what was found for it in the journals.
type partition struct {
	topic   string
	row     *meta.Partition // without a version while there is none
	tenures []*tenure
	first   uint64 // the lowest offset in digest
	digest  Digest
}

// tenure is a claim of the row about a session's journal. A session commits in
// the order of offsets, so the place of the next commit is all there is to
// remember.
type tenure struct {
	meta.Tenure
	session string
	open    bool   // the present one: only its journal tells where it ends
	next    uint64 // the offset at which the next commit must begin
}

func (v *verifier) readPartitions(ctx context.Context) error {
	v.partitions = map[id]*partition{}
	for _, t := range v.topics {
		for n := range t.Partitions {
			v.partitions[id{t.ID, n}] = newPartition(t.Name, &meta.Partition{Topic: t.ID, Partition: n})
		}
		for row, err := range meta.Query[*meta.Partition](ctx, v.rows, meta.TopicHash(t.ID), 0) {
			if err != nil {
				return fmt.Errorf("read the partitions of topic %s: %w", t.Name, err)
			}
			p := newPartition(t.Name, row)
			if v.partitions[id{t.ID, row.Partition}] == nil {
				f := wrong("there is a row, and the topic has %d partitions", t.Partitions).of(p, row.Start)
				return &f
			}
			if err := p.check(); err != nil {
				return err
			}
			v.partitions[id{t.ID, row.Partition}] = p
			if row.State != "" {
				v.states[row.State] = append(v.states[row.State], p)
			}
		}
	}
	return nil
}

func newPartition(topic string, row *meta.Partition) *partition {
	p := &partition{topic: topic, row: row}
	for _, t := range row.Tenures {
		p.tenures = append(p.tenures, &tenure{Tenure: t, session: t.Session, next: max(t.Start, row.Checkpoint.End)})
	}
	if row.Owner != "" {
		p.tenures = append(p.tenures, &tenure{
			Tenure:  meta.Tenure{Session: row.Owner, Epoch: row.Epoch, Start: row.Start, FirstSeq: row.FirstSeq},
			session: row.Owner, open: true, next: max(row.Start, row.Checkpoint.End),
		})
	}
	p.first = p.end()
	return p
}

// check holds the row against itself: the tenures follow each other without a
// gap from the checkpoint to the start of the present one.
func (p *partition) check() error {
	r := p.row
	next, epoch := r.Checkpoint.End, uint64(0)
	fail := func(offset uint64, format string, args ...any) error {
		f := wrong("its row is inconsistent: "+format, args...).of(p, offset)
		return &f
	}
	for i, t := range r.Tenures {
		last := i == len(r.Tenures)-1
		switch {
		case i == 0 && t.Start > next || i > 0 && t.Start != next:
			return fail(next, "session %s's tenure of epoch %d begins at offset %d, where %d is due", t.Session, t.Epoch, t.Start, next)
		case t.End <= t.Start:
			return fail(t.Start, "session %s's tenure of epoch %d reaches from offset %d to %d", t.Session, t.Epoch, t.Start, t.End)
		case t.FirstSeq >= t.EndSeq:
			return fail(t.Start, "session %s's tenure of epoch %d has the journal rows from %d to %d", t.Session, t.Epoch, t.FirstSeq, t.EndSeq)
		case t.Epoch <= epoch || t.Epoch > r.Epoch || last && t.Epoch == r.Epoch && r.Owner != "":
			return fail(t.Start, "session %s's tenure has epoch %d, after %d and with %d the present one", t.Session, t.Epoch, epoch, r.Epoch)
		}
		next, epoch = t.End, t.Epoch
	}
	switch {
	case len(r.Tenures) > 0 && r.Start != next, r.Start > next:
		return fail(next, "it begins at offset %d, where its earlier tenures end at %d", r.Start, next)
	case r.State == "" && r.StateEnd > 0:
		return fail(r.StateEnd, "there are producer states up to offset %d, and no object holds them", r.StateEnd)
	case r.Owner == "" && r.Start > 0 && r.State == "":
		return fail(r.Start, "it was released at offset %d without its producers' states", r.Start)
	case r.Owner == "" && r.State != "" && r.StateEnd != r.Start:
		return fail(r.Start, "it was released at offset %d with its producers' states up to %d", r.Start, r.StateEnd)
	}
	return nil
}

// end is the log's end as far as it was found.
func (p *partition) end() uint64 {
	if n := len(p.tenures); n > 0 && p.tenures[n-1].open {
		return p.tenures[n-1].next
	}
	return max(p.row.Start, p.row.Checkpoint.End)
}

func (p *partition) summary() Partition {
	return Partition{
		Topic: p.topic, Partition: p.row.Partition, Start: p.row.LogStart, End: p.end(),
		First: min(p.first, p.end()), Digest: p.digest,
	}
}

// find returns the tenure to which a session's commits of an epoch belong (R5).
func (p *partition) find(session string, epoch uint64) *tenure {
	for _, t := range p.tenures {
		if t.Epoch == epoch && t.session == session {
			return t
		}
	}
	return nil
}

// commit takes what a journal row commits to a partition. Section is nil where
// the object was not read.
func (v *verifier) commit(ctx context.Context, session string, seq uint64, c *journal.Commit, section *segment.Section) error {
	p := v.partitions[id{c.Topic, c.Partition}]
	if p == nil {
		return v.beyond(session, seq, c)
	}
	end := c.Base + uint64(c.Records)
	if end <= p.row.Checkpoint.End {
		return nil
	}
	t := p.find(session, c.Epoch)
	if t == nil {
		return v.homeless(ctx, p, session, seq, c)
	}
	fail := func(offset uint64, format string, args ...any) error {
		return wrong(format, args...).of(p, offset).at(session, seq)
	}
	switch {
	case seq < t.FirstSeq || !t.open && seq >= t.EndSeq:
		return fail(c.Base, "it commits under epoch %d, whose journal rows are those from %d to %d", c.Epoch, t.FirstSeq, t.EndSeq)
	case c.Base > t.next:
		return fail(t.next, "it commits the offsets %d to %d, where %d is due: what is between was committed by no row", c.Base, end, t.next)
	case c.Base < t.next:
		return fail(c.Base, "it commits the offsets %d to %d, where %d is due: they are committed already", c.Base, end, t.next)
	case !t.open && end > t.End:
		return fail(t.End, "it commits the offsets %d to %d under epoch %d, which ended at %d", c.Base, end, c.Epoch, t.End)
	}
	t.next = end
	p.first = min(p.first, c.Base)
	base := c.Base
	for _, b := range section.Batches {
		if base+uint64(b.Records) > p.row.LogStart {
			p.digest.add(base, b.Records, b.CRC)
		}
		base += uint64(b.Records)
	}
	v.report.Records += uint64(c.Records)
	return nil
}

// beyond is a commit to a partition that is not looked at: its topic is
// another, was deleted, or was made meanwhile. A topic that is looked at has all
// its partitions.
func (v *verifier) beyond(session string, seq uint64, c *journal.Commit) error {
	t := v.topics[c.Topic]
	if t == nil {
		return nil
	}
	f := wrong("it commits to a partition that the topic does not have: there are %d", t.Partitions)
	f.Topic, f.Partition, f.Offset = t.Name, &c.Partition, &c.Base
	return f.at(session, seq)
}

// homeless is a commit of no tenure that the row knows. It is a fault, unless
// the row has moved on meanwhile.
func (v *verifier) homeless(ctx context.Context, p *partition, session string, seq uint64, c *journal.Commit) error {
	if c.Epoch > p.row.Epoch {
		now := &meta.Partition{Topic: c.Topic, Partition: c.Partition}
		if err := v.rows.Get(ctx, now); err != nil && !errors.Is(err, meta.ErrNotFound) {
			return fmt.Errorf("read partition %d of topic %s: %w", c.Partition, p.topic, err)
		}
		if now.Epoch >= c.Epoch {
			return nil
		}
	}
	return wrong("it commits the offsets %d to %d under epoch %d, which is no tenure of this session: the partition is at epoch %d",
		c.Base, c.Base+uint64(c.Records), c.Epoch, p.row.Epoch).of(p, c.Base).at(session, seq)
}

// checkEnds sees to it that the journals reached as far as the rows say.
func (v *verifier) checkEnds() error {
	for _, p := range v.sorted() {
		for _, t := range p.tenures {
			if !t.open && t.next < t.End {
				f := wrong("the row has session %s's tenure of epoch %d end at offset %d, and its journal ends at %d",
					t.session, t.Epoch, t.End, t.next).of(p, t.next)
				f.Session = t.session
				return &f
			}
		}
		end := p.end()
		if p.row.LogStart > end || p.row.StateEnd > end || p.row.Checkpoint.End > end {
			f := wrong("the row has the log start at offset %d, the checkpoint at %d and the producers' states at %d, and the log ends at %d",
				p.row.LogStart, p.row.Checkpoint.End, p.row.StateEnd, end).of(p, end)
			return &f
		}
	}
	return nil
}
