package flush

import (
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
)

// Append takes a batch for a partition. With a nil error, `to` is answered
// exactly once, possibly before Append returns; with an error, which is a
// refusal for the producer, it is not answered. Batches of one partition are
// committed in the order of their Append calls.
func (p *Pipeline) Append(id ID, b *Batch, to Answerer, request uint64) error {
	now := time.Now()
	if err := p.deps.Valid(now); err != nil {
		return err
	}
	w := waiter{to: to, request: request}
	r, err := p.admit(id, b, w, now)
	if err != nil {
		return err
	}
	if r.duplicate {
		to.Answer(request, r.base, nil)
	}
	if r.dst != nil {
		for _, part := range b.Parts {
			r.dst = r.dst[copy(r.dst, part):]
		}
		r.buffer.copies.Done()
	}
	if r.wake {
		p.signal()
	}
	return nil
}

// admission is what became of a batch under the lock.
type admission struct {
	buffer    *buffer
	dst       []byte // where its bytes go; nil when it need not be appended
	wake      bool   // Run has something to do
	duplicate bool
	base      uint64
}

func (p *Pipeline) admit(id ID, b *Batch, w waiter, now time.Time) (admission, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tenures[id]
	switch {
	case p.failed != nil:
		return admission{}, p.failed
	case t == nil:
		return admission{}, reason.New(reason.NotOwner, "this agent holds no lease for partition %d", id.Partition)
	case t.closed != nil:
		return admission{}, t.closed
	}
	k := producers.Batch{
		Producer: b.Header.ProducerID, Sequence: b.Header.Sequence,
		CRC: b.Header.CRC, Records: b.Header.Records,
	}
	if k.Producer != 0 {
		verdict, base, flight, err := t.producers.Check(k)
		if err != nil || verdict == producers.Duplicate {
			return admission{duplicate: err == nil, base: base}, err
		}
		if verdict == producers.InFlight {
			return admission{wake: p.joinLocked(flight, w, now)}, nil
		}
	}
	return p.takeLocked(t, b, k, w, now)
}

// joinLocked lets a retry wait for the try that is in flight. Run must look at
// the clock anew if the buffer had nobody who waits.
func (p *Pipeline) joinLocked(f Flight, w waiter, now time.Time) (wake bool) {
	e := &f.buffer.entries[f.entry]
	e.again = append(e.again, w)
	wake = f.buffer.answerBy.IsZero()
	if wake {
		f.buffer.answerBy = now.Add(p.opts.AckTimeout)
	}
	return wake
}

// takeLocked gives a new batch its place in the open buffer.
func (p *Pipeline) takeLocked(t *Tenure, b *Batch, k producers.Batch, w waiter, now time.Time) (admission, error) {
	size := int(b.Header.Size)
	known := k.Producer == 0 || t.producers.Knows(k.Producer)
	if !known && p.producers >= p.opts.MaxProducers {
		return admission{}, reason.New(reason.Overloaded,
			"this agent remembers %d producers already: try later, or start fewer short-lived ones", p.producers).After(time.Second)
	}
	wake, err := p.makeRoomLocked(size, now)
	if err != nil {
		return admission{}, err
	}
	o := p.open
	if o.holds(t)+uint64(b.Header.Records) > maxRecords {
		return admission{}, reason.New(reason.Overloaded,
			"%d records of partition %d wait for a flush: send them later", o.holds(t), t.Partition).After(p.opts.Age)
	}
	wake = wake || len(o.entries) == 0
	at, dst := o.reserve(size)
	s := o.sectionOf(t)
	s.size += b.Header.Size
	s.records += b.Header.Records
	s.batches++
	o.entries = append(o.entries, entry{
		at: uint32(at), size: b.Header.Size, section: t.section, batch: k, maxTime: b.Header.MaxTimestamp,
		taken: now.Sub(p.began), waiter: w,
	})
	t.inFlight++
	if k.Producer != 0 {
		t.producers.Begin(k, Flight{buffer: o, entry: len(o.entries) - 1}, now)
	}
	if !known {
		p.producers++
	}
	if !o.room(size) { // the next of this size would not fit: do not wait for it
		p.sealLocked(o)
		wake = true
	}
	return admission{buffer: o, dst: dst, wake: wake}, nil
}

// makeRoomLocked sees to it that the open buffer has room.
func (p *Pipeline) makeRoomLocked(size int, now time.Time) (wake bool, err error) {
	if p.open != nil && p.open.room(size) {
		return false, nil
	}
	need := int64(max(size, p.opts.Bytes))
	if p.held+need > p.opts.BufferBytes {
		return false, reason.New(reason.Overloaded,
			"the agent's buffers are full (%d bytes wait for the store)", p.held).After(max(p.opts.Age, 10*time.Millisecond))
	}
	if p.open != nil {
		p.sealLocked(p.open)
		wake = true
	}
	p.open = p.pool.get(size, now)
	p.open.answerBy = now.Add(p.opts.AckTimeout)
	p.held += int64(cap(p.open.data))
	return wake, nil
}

// maxRecords bounds the records of a section, which batches only claim to
// have: the format counts them in 32 bits.
const maxRecords = 1 << 31

// holds is how many records of t's partition the buffer has.
func (b *buffer) holds(t *Tenure) uint64 {
	if t.buffer != b {
		return 0
	}
	return uint64(b.sections[t.section].records)
}

// sectionOf finds or begins the section of t's partition.
func (b *buffer) sectionOf(t *Tenure) *section {
	if t.buffer != b {
		t.buffer, t.section = b, len(b.sections)
		b.sections = append(b.sections, section{tenure: t})
	}
	return &b.sections[t.section]
}
