package verify

import (
	"context"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// partition is one partition's row and what was found for it in the journals.
type partition struct {
	topic   string
	row     *meta.Partition // without a version while there is none
	tenures []*tenure
	// covered is the checkpoint up to which its index was followed, and total the
	// size of all batches below that.
	covered, total uint64
	first          uint64 // the lowest offset in digest
	digest         Digest
	gone           bool // its topic was deleted meanwhile
}

// tenure is a claim of the row about a session's journal. A session commits in
// the order of offsets, so the place of the next commit is all there is to
// remember.
type tenure struct {
	meta.Tenure
	session string
	open    bool   // the present one: only its journal tells where it ends
	next    uint64 // the offset at which the next commit must begin
	from    uint64 // where the commits that were looked at began
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
				grown, err := v.grown(ctx, t, row.Partition)
				if err != nil {
					return err
				}
				if grown {
					continue // nothing was in it when the reading began
				}
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
	p := &partition{topic: topic, row: row, covered: row.Checkpoint.End}
	for _, t := range row.Tenures {
		p.tenures = append(p.tenures, &tenure{Tenure: t, session: t.Session, next: max(t.Start, row.Checkpoint.End)})
	}
	if row.Owner != "" {
		p.tenures = append(p.tenures, &tenure{
			Tenure:  meta.Tenure{Session: row.Owner, Epoch: row.Epoch, Start: row.Start, FirstSeq: row.FirstSeq},
			session: row.Owner, open: true, next: max(row.Start, row.Checkpoint.End),
		})
	}
	for _, t := range p.tenures {
		t.from = t.next
	}
	p.first = p.end()
	return p
}

// check holds the row against itself: the tenures follow each other without a
// gap from the checkpoint to the start of the present one.
func (p *partition) check() error {
	r := p.row
	if err := p.checkCheckpoint(r); err != nil {
		return err
	}
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

// checkCheckpoint holds what a row says of its index against itself.
func (p *partition) checkCheckpoint(r *meta.Partition) error {
	c, last := &r.Checkpoint, uint64(0)
	fail := func(offset uint64, format string, args ...any) error {
		f := wrong("its row is inconsistent: "+format, args...).of(p, offset)
		return &f
	}
	for _, g := range c.Compactions {
		if g.End <= last {
			return fail(g.End, "compaction %016x ends at offset %d, and the one before it at %d", g.ID, g.End, last)
		}
		last = g.End
	}
	switch {
	case last != c.End && (last > 0 || r.LogStart < c.End):
		return fail(last, "its compactions end at offset %d, and its checkpoint is at %d", last, c.End)
	case c.End > 0 && r.StateEnd < c.End:
		return fail(r.StateEnd, "its producers' states go up to offset %d, and its checkpoint is at %d", r.StateEnd, c.End)
	default:
		return nil
	}
}

// end is the log's end as far as it was found.
func (p *partition) end() uint64 {
	if n := len(p.tenures); n > 0 && p.tenures[n-1].open {
		return p.tenures[n-1].next
	}
	return max(p.row.Start, p.covered)
}

// add adds a batch to the digest, if any of it can be read.
func (p *partition) add(base uint64, b *segment.Batch) {
	if base+uint64(b.Records) > p.row.LogStart {
		p.digest.add(base, b.Records, b.CRC)
		p.first = min(p.first, base)
	}
}

func (p *partition) summary() Partition {
	return Partition{
		Topic: p.topic, Partition: p.row.Partition, Start: p.row.LogStart, End: p.end(),
		First: min(p.first, p.end()), Digest: p.digest,
	}
}
