package verify

import (
	"context"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// find returns the tenure to which a session's commits of an epoch belong (R5).
func (p *partition) find(session string, epoch uint64) *tenure {
	for _, t := range p.tenures {
		if t.Epoch == epoch && t.session == session {
			return t
		}
	}
	return nil
}

// endOf is the offset behind what is committed.
func endOf(c *journal.Commit) uint64 { return c.Base + uint64(c.Records) }

// commit takes what a journal row commits to a partition.
func (v *verifier) commit(ctx context.Context, session string, seq uint64, c *journal.Commit, section *segment.Section) error {
	p := v.partitions[id{c.Topic, c.Partition}]
	if p == nil {
		return v.beyond(ctx, session, seq, c)
	}
	end := endOf(c)
	if end <= p.covered || p.gone {
		return nil
	}
	t := p.find(session, c.Epoch)
	if t == nil {
		return v.homeless(ctx, p, session, seq, c)
	}
	if c.Base > t.next {
		if moved, err := v.catchUp(ctx, p); err != nil {
			return err
		} else if moved {
			return v.commit(ctx, session, seq, c, section)
		}
	}
	if f := p.place(t, session, seq, c); f != nil {
		return f
	}
	t.next = end
	base := c.Base
	for i := range section.Batches {
		p.add(base, &section.Batches[i])
		base += uint64(section.Batches[i].Records)
	}
	v.report.Records += uint64(c.Records)
	return nil
}

// place sees to it that a commit is what is due in its tenure.
func (p *partition) place(t *tenure, session string, seq uint64, c *journal.Commit) error {
	end := endOf(c)
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
	default:
		return nil
	}
}

// beyond is a commit to a partition that is not looked at: its topic is
// another, was deleted, or was made or grew meanwhile.
func (v *verifier) beyond(ctx context.Context, session string, seq uint64, c *journal.Commit) error {
	t := v.topics[c.Topic]
	if t == nil {
		return nil
	}
	if grown, err := v.grown(ctx, t, c.Partition); grown || err != nil {
		return err
	}
	f := wrong("it commits to a partition that the topic does not have: there are %d", t.Partitions)
	f.Topic, f.Partition, f.Offset = t.Name, &c.Partition, &c.Base
	return f.at(session, seq)
}

// homeless is a commit of no tenure that the row knows. It is a fault, unless
// the row has moved on meanwhile.
func (v *verifier) homeless(ctx context.Context, p *partition, session string, seq uint64, c *journal.Commit) error {
	now, err := v.again(ctx, p)
	if err != nil || p.gone {
		return err
	}
	if c.Epoch > p.row.Epoch && now.Epoch >= c.Epoch {
		return nil
	}
	return wrong("it commits the offsets %d to %d under epoch %d, which is no tenure of this session: the partition is at epoch %d",
		c.Base, endOf(c), c.Epoch, p.row.Epoch).of(p, c.Base).at(session, seq)
}

// checkEnds sees to it that the journals reached as far as the rows say.
func (v *verifier) checkEnds(ctx context.Context) error {
	for _, p := range v.sorted() {
		f := p.checkEnd()
		if f == nil {
			continue
		}
		moved, err := v.catchUp(ctx, p)
		if err != nil {
			return err
		}
		if moved {
			f = p.checkEnd()
		}
		if f != nil && !p.gone {
			return f
		}
	}
	return nil
}

func (p *partition) checkEnd() *FaultError {
	for _, t := range p.tenures {
		if !t.open && t.next < t.End {
			f := wrong("the row has session %s's tenure of epoch %d end at offset %d, and its journal ends at %d",
				t.session, t.Epoch, t.End, t.next).of(p, t.next)
			f.Session = t.session
			return &f
		}
	}
	end := p.end()
	if p.row.LogStart > end || p.row.StateEnd > end {
		f := wrong("the row has the log start at offset %d and the producers' states at %d, and the log ends at %d",
			p.row.LogStart, p.row.StateEnd, end).of(p, end)
		return &f
	}
	return nil
}
