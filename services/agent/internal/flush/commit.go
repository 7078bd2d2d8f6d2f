package flush

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// commitAll commits buffers in the order in which they were sealed (R1). When
// one cannot be committed, the session is finished: cancel ends Run.
func (p *Pipeline) commitAll(ctx context.Context, cancel context.CancelCauseFunc) {
	broken := false
	for b := range p.commits {
		<-b.uploaded
		if broken || ctx.Err() != nil {
			continue // fail answers for it
		}
		if err := p.commit(ctx, b); err != nil {
			broken = true
			cancel(err)
		}
	}
}

// errNoSegment ends the session: what comes after a buffer cannot be committed
// without it.
var errNoSegment = errors.New("a flush cannot be composed as a segment")

func (p *Pipeline) commit(ctx context.Context, b *buffer) error {
	w := b.segment
	if w == nil {
		return cmp.Or(context.Cause(ctx), errNoSegment)
	}
	p.assign(b)
	row := journal.AppendCommits(make([]byte, 0, 16*len(w.commits)), w.commits)
	if err := p.deps.Journal.Append(ctx, w.key, w.body.Size, row); err != nil {
		return err
	}
	p.publish(b)
	p.resolve(b)
	return nil
}

// assign gives the sections their offsets, which only the row makes true (R2).
// No other commit is under way, so the ends stand still.
func (p *Pipeline) assign(b *buffer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, k := range b.segment.order {
		s := &b.sections[k]
		s.base = s.tenure.end
		b.segment.commits[i].Base = s.base
	}
}

// publish lets readers see what was committed, before anybody hears of it.
func (p *Pipeline) publish(b *buffer) {
	w := b.segment
	p.remember(b)
	object := &index.Segment{Key: w.key, Size: w.body.Size}
	at := uint32(segment.HeaderSize)
	for _, k := range w.order {
		s := &b.sections[k]
		s.tenure.Index.Append(index.Range{
			Base: s.base, Records: s.records, At: at, Size: s.size, Segment: object, State: s.state != nil,
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
	p.committed++
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
