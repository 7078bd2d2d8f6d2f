package recovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// parallelGets is how many footers are read at a time.
const parallelGets = 64

// tailBytes is how much of an object's end is read at first: nearly every
// footer fits.
const tailBytes = 64 << 10

// restoreStates rebuilds the producers' states: the newest whole state of each
// partition, from its row's object or from a footer, and every batch since.
func restoreStates(ctx context.Context, objects objstore.Store, partitions []*Partition, now time.Time) {
	f := &footers{objects: objects, byKey: map[string]*segment.Footer{}, failed: map[string]error{}}
	f.load(ctx, stateHolders(partitions))
	since := map[*Partition]uint64{}
	segments := map[string]int64{}
	for _, p := range partitions {
		if p.Err == nil {
			since[p], p.Err = p.restoreWhole(f, now)
		}
		for _, r := range p.Ranges {
			if p.Err == nil && r.End() > since[p] {
				segments[r.Segment.Key] = r.Segment.Size
			}
		}
	}
	f.load(ctx, segments)
	for _, p := range partitions {
		if p.Err == nil {
			p.Err = p.restoreSince(f, since[p], now)
		}
	}
}

// stateHolders names the objects that hold whole states. Sizes of those that rows
// name are not known: -1.
func stateHolders(partitions []*Partition) map[string]int64 {
	holders := map[string]int64{}
	for _, p := range partitions {
		if p.Err != nil {
			continue
		}
		if r := p.newestState(); r != nil {
			holders[r.Segment.Key] = r.Segment.Size
		}
		if p.Row.State != "" {
			holders[p.Row.State] = -1
		}
	}
	return holders
}

// newestState is the newest range whose footer carries the whole state, if that
// can be newer than what the partition's row names.
func (p *Partition) newestState() *index.Range {
	for i := len(p.Ranges) - 1; i >= 0; i-- {
		r := &p.Ranges[i]
		if r.State && (p.Row.State == "" || r.Base >= p.Row.StateEnd) {
			return r
		}
	}
	return nil
}

// restoreWhole sets the partition's newest whole state and returns up to which
// offset it goes. A footer's goes as far as was committed when its segment was
// sealed: what was in flight then may be below the checkpoint by now, where only
// the row's state knows of it.
func (p *Partition) restoreWhole(f *footers, now time.Time) (end uint64, err error) {
	p.State = &flush.State{}
	keys := []string{p.Row.State}
	if r := p.newestState(); r != nil {
		keys = append(keys, r.Segment.Key)
	}
	for _, key := range keys {
		if key == "" {
			continue
		}
		state, upTo, err := p.wholeState(f, key, now)
		if err != nil {
			return 0, err
		}
		if upTo >= end {
			p.State, end = state, upTo
		}
	}
	return end, nil
}

// wholeState reads the state of all producers in an object, and up to which offset
// it goes.
func (p *Partition) wholeState(f *footers, key string, now time.Time) (*flush.State, uint64, error) {
	s, err := f.section(key, p)
	if err != nil {
		return nil, 0, err
	}
	if s == nil || s.State == nil {
		return nil, 0, fmt.Errorf("segment %s holds no producer state of partition %d of topic %d: %w",
			key, p.Row.Partition, p.Row.Topic, segment.ErrCorrupt)
	}
	state, end, err := producers.Parse[flush.Flight](s.State, now)
	if errors.Is(err, producers.ErrTooNew) { // so is the segment that holds it
		return nil, 0, fmt.Errorf("segment %s: %w: %w", key, segment.ErrTooNew, err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("segment %s: %w", key, err)
	}
	return state, end, nil
}

// restoreSince adds the batches that were committed from an offset on.
func (p *Partition) restoreSince(f *footers, from uint64, now time.Time) error {
	for _, r := range p.Ranges {
		if r.End() <= from {
			continue
		}
		s, err := f.section(r.Segment.Key, p)
		if err != nil {
			return err
		}
		if s == nil || s.Records != r.Records || s.Size != r.Size {
			return fmt.Errorf("segment %s does not hold what the journal says of partition %d of topic %d: %w",
				r.Segment.Key, p.Row.Partition, p.Row.Topic, segment.ErrCorrupt)
		}
		base := r.Base
		for _, b := range s.Batches {
			if b.ProducerID != 0 {
				k := producers.Batch{Producer: b.ProducerID, Sequence: b.Sequence, CRC: b.CRC, Records: b.Records}
				p.State.Restore(k, base, now)
			}
			base += uint64(b.Records)
		}
	}
	return nil
}

// footers are read once each.
type footers struct {
	objects objstore.Store

	mu     sync.Mutex
	byKey  map[string]*segment.Footer
	failed map[string]error
}

func (f *footers) load(ctx context.Context, sizes map[string]int64) {
	var group errgroup.Group
	group.SetLimit(parallelGets)
	for key, size := range sizes {
		if footer, err := f.get(key); footer != nil || err != nil {
			continue
		}
		group.Go(func() error {
			var footer *segment.Footer
			err := retry(ctx, func() (err error) {
				footer, err = ReadFooter(ctx, f.objects, key, size)
				return err
			})
			f.mu.Lock()
			defer f.mu.Unlock()
			if err != nil {
				f.failed[key] = err
			} else {
				f.byKey[key] = footer
			}
			return nil
		})
	}
	_ = group.Wait() // each failure is in failed
}

func (f *footers) get(key string) (*segment.Footer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byKey[key], f.failed[key]
}

// section is what a segment's footer says of a partition; nil for nothing.
func (f *footers) section(key string, p *Partition) (*segment.Section, error) {
	footer, err := f.get(key)
	if footer == nil {
		return nil, err
	}
	for i := range footer.Sections {
		s := &footer.Sections[i]
		if s.Topic == p.Row.Topic && s.Partition == p.Row.Partition {
			return s, nil
		}
	}
	return nil, nil
}

// ReadFooter reads the footer of a segment of the given size; -1 reads the
// whole object.
func ReadFooter(ctx context.Context, objects objstore.Store, key string, size int64) (*segment.Footer, error) {
	at := max(0, size-tailBytes)
	tail, err := objects.Get(ctx, key, at, -1)
	if err != nil {
		return nil, fmt.Errorf("read footer of %s: %w", key, err)
	}
	n, err := segment.ParseTrailer(tail)
	if err == nil && n > len(tail) && at > 0 {
		tail, err = objects.Get(ctx, key, max(0, size-int64(n)), -1)
	}
	if err != nil {
		return nil, fmt.Errorf("read footer of %s: %w", key, err)
	}
	if n > len(tail) {
		return nil, fmt.Errorf("read footer of %s: %w", key, segment.ErrCorrupt)
	}
	footer, err := segment.ParseFooter(tail[len(tail)-n:])
	if err != nil {
		return nil, fmt.Errorf("read footer of %s: %w", key, err)
	}
	return footer, nil
}
