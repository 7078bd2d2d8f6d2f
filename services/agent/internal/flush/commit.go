package flush

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// commitAll commits buffers in the order in which they were sealed (R1). When
// one cannot be committed, the session is finished: cancel ends Run.
func (p *Pipeline) commitAll(ctx context.Context, cancel context.CancelCauseFunc) {
	for ctx.Err() == nil {
		group := p.standing()
		if len(group) == 0 {
			select {
			case <-p.landed:
			case <-ctx.Done():
			}
			continue
		}
		if err := p.commit(ctx, group); err != nil {
			if errors.Is(err, journal.ErrFenced) && mutation.Off(mutation.R7) {
				<-ctx.Done()
			}
			cancel(err)
			return
		}
	}
}

// standing returns the oldest buffers whose segments stand, as many as a row
// can name. While a row is being written, others land; one row for all of them
// keeps commits from queueing up behind each other.
func (p *Pipeline) standing() []*buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, commits := 0, 0
	for n < min(len(p.flying), journal.MaxSegments) && p.flying[n].segment != nil {
		commits += len(p.flying[n].segment.commits)
		if commits > journal.MaxCommits {
			break
		}
		n++
	}
	return slices.Clone(p.flying[:n])
}

// commit writes one row for a group of buffers, makes it visible and answers.
func (p *Pipeline) commit(ctx context.Context, group []*buffer) error {
	p.assign(group)
	segments := make([]meta.Segment, len(group))
	for i, b := range group {
		w := b.segment
		segments[i] = meta.Segment{
			Key: w.key, Size: w.body.Size,
			Commits: journal.AppendCommits(make([]byte, 0, 16*len(w.commits)), w.commits),
		}
	}
	if err := p.deps.Journal.Append(ctx, segments); err != nil {
		return err
	}
	p.mu.Lock()
	seq := p.rows
	p.rows++
	p.mu.Unlock()
	for _, b := range group {
		p.publish(b, seq)
		p.resolve(b)
	}
	return nil
}

// assign gives the sections their offsets, which only the row makes true (R2).
// No other commit is under way, and one that fails is the session's last.
func (p *Pipeline) assign(group []*buffer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range group {
		for i, k := range b.segment.order {
			s := &b.sections[k]
			s.base = s.tenure.assigned
			s.tenure.assigned += uint64(s.records)
			b.segment.commits[i].Base = s.base
		}
	}
}

// publish lets readers see what was committed, before anybody hears of it.
func (p *Pipeline) publish(b *buffer, seq uint64) {
	w := b.segment
	p.remember(b)
	object := &index.Segment{Key: w.key, Size: w.body.Size, Session: p.deps.Session, Seq: seq}
	at := uint32(segment.HeaderSize)
	for _, k := range w.order {
		s := &b.sections[k]
		s.tenure.Index.Append(index.Range{
			Base: s.base, Records: s.records, At: at, Size: s.size, Segment: object, State: s.state != nil,
			MaxTimestamp: s.maxTime,
		})
		at += s.size
	}
}

// remember offers the segment's bytes to the cache of recent segments. A buffer
// that is mostly empty goes back to work, and a copy of what is in it stays.
func (p *Pipeline) remember(b *buffer) {
	w := b.segment
	if 2*len(b.data) < cap(b.data) {
		p.deps.Recent.Add(w.key, [][]byte{bytes.Join(w.body.Parts, nil)}, w.body.Size, func() {})
		return
	}
	b.retain()
	p.deps.Recent.Add(w.key, w.body.Parts, int64(cap(b.data)), b.release)
}

// resolve makes the batches part of their producers' state and answers for
// them.
func (p *Pipeline) resolve(b *buffer) {
	answers := answers{list: make([]answer, 0, len(b.entries))}
	records := uint64(0)
	now := time.Now()
	p.mu.Lock()
	for i := range b.entries {
		e := &b.entries[i]
		s := &b.sections[e.section]
		answers.take(e, s.base, nil)
		if e.batch.Producer != 0 {
			s.tenure.producers.Commit(e.batch.Producer, s.base, now)
		}
		s.base += uint64(e.batch.Records)
		records += uint64(e.batch.Records)
		p.deps.Counters.Acknowledged(now.Sub(p.began)-e.taken, uint64(e.size))
	}
	for i := range b.sections {
		s := &b.sections[i]
		s.tenure.end = s.base
		p.settledLocked(s.tenure, s.batches)
		if s.tenure.buffer == b {
			s.tenure.buffer = nil
		}
	}
	p.flying = p.flying[1:]
	p.held -= int64(cap(b.data))
	p.mu.Unlock()
	p.signal()
	p.deps.Counters.Committed(records, uint64(len(b.entries)), uint64(len(b.data)), uint64(b.segment.body.Size))
	answers.send()
	b.release()
}

// settledLocked notes that n of a tenure's batches are resolved.
func (p *Pipeline) settledLocked(t *Tenure, n int) {
	t.inFlight -= n
	if t.inFlight == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// refusal is what producers are told when the session ends under err: their
// batches may or may not have been committed.
func refusal(err error) error {
	switch {
	case errors.Is(err, journal.ErrFenced):
		return reason.New(reason.Fenced, "another agent took over before the batch was committed")
	default:
		return reason.New(reason.StorageFailed, "the agent ended before the batch was committed")
	}
}
