package flush

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
)

// Own begins a tenure: its partition takes batches from now on.
func (p *Pipeline) Own(t *Tenure) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return p.failed
	}
	if p.draining {
		return reason.New(reason.Draining, "this agent is shutting down")
	}
	if p.tenures[t.ID] != nil {
		return fmt.Errorf("partition %v is owned already", t.ID)
	}
	// Partitions take turns, so that their states do not all fall into one segment.
	t.segments = 1 + (t.Partition+t.Topic)%p.opts.StateEvery
	p.tenures[t.ID] = t
	p.producers += t.producers.Len()
	return nil
}

// FirstSeq is the seq of this session's journal at which the next commit can
// stand: what a tenure that begins now writes down.
func (p *Pipeline) FirstSeq() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rows
}

// TakeNumber returns a number for an object of this session that is no flush's.
func (p *Pipeline) TakeNumber() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.numbers++
	return p.numbers - 1
}

// Horizon is a number below which every segment is committed, or never will be.
func (p *Pipeline) Horizon() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, buffers := range [][]*buffer{p.flying, p.sealed} {
		if len(buffers) > 0 {
			return buffers[0].number
		}
	}
	return p.numbers
}

// Tenure returns the tenure of a partition that this session owns, or nil.
func (p *Pipeline) Tenure(id ID) *Tenure {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tenures[id]
}

// Tenures lists all that this session owns.
func (p *Pipeline) Tenures() []*Tenure {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*Tenure, 0, len(p.tenures))
	for _, t := range p.tenures {
		all = append(all, t)
	}
	return all
}

// Stop makes a tenure refuse new batches with err. What was taken goes on.
func (p *Pipeline) Stop(t *Tenure, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeLocked(t, err)
}

func (p *Pipeline) closeLocked(t *Tenure, err error) {
	if t.closed == nil {
		t.closed = err
	}
	if p.failed != nil && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// Released is a tenure at its end, as a release writes it down (R6).
type Released struct {
	*Tenure
	// End is the offset at which the tenure ended.
	End uint64
	// State is the producers' state there.
	State []byte
}

// ErrDisowned is returned by Release when Disown ended the tenure meanwhile:
// there is nothing left to give back.
var ErrDisowned = errors.New("the partition was taken away")

// Release stops a tenure, waits until its flushes are resolved, and takes the
// partition away from the pipeline. From then on nothing is committed under
// the tenure, whatever becomes of the release (R6).
func (p *Pipeline) Release(ctx context.Context, t *Tenure, err error) (Released, error) {
	p.Stop(t, err)
	if !mutation.Off(mutation.R6) {
		if err := p.settle(ctx, t); err != nil {
			return Released{}, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return Released{}, p.failed
	}
	if p.tenures[t.ID] != t {
		return Released{}, ErrDisowned
	}
	delete(p.tenures, t.ID)
	p.producers -= t.producers.Len()
	return Released{Tenure: t, End: t.end, State: t.producers.Append(nil, t.end)}, nil
}

// Snapshot returns the producers' state of a tenure as it is committed, and up to
// which offset it goes. ok is false when the tenure is over.
func (p *Pipeline) Snapshot(t *Tenure) (state []byte, end uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tenures[t.ID] != t {
		return nil, 0, false
	}
	return t.producers.Append(nil, t.end), t.end, true
}

// settle waits until nothing of a stopped tenure is in flight.
func (p *Pipeline) settle(ctx context.Context, t *Tenure) error {
	p.mu.Lock()
	idle := t.idle
	if t.inFlight > 0 && p.failed == nil && idle == nil {
		idle = make(chan struct{})
		t.idle = idle
	}
	p.mu.Unlock()
	p.signal()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for flushes: %w", errors.Join(errStopped, context.Cause(ctx)))
	}
}

// ExpireProducers forgets producers that sent nothing for producers.MinAge.
func (p *Pipeline) ExpireProducers(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tenures {
		p.producers -= t.producers.Expire(now.Add(-producers.MinAge))
	}
}

// Disown ends a tenure at once, with err for whoever produces to it. What was
// taken is still committed and answered.
func (p *Pipeline) Disown(t *Tenure, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeLocked(t, err)
	if p.tenures[t.ID] == t {
		delete(p.tenures, t.ID)
		p.producers -= t.producers.Len()
	}
}
