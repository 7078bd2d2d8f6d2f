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
const parallelGets = 16

// tailBytes is how much of an object's end is read at first: nearly every
// footer fits.
const tailBytes = 64 << 10

// restoreStates rebuilds the producers' states: the newest whole state of each
// partition, from a release or from a footer, and every batch since.
func restoreStates(ctx context.Context, objects objstore.Store, partitions []*Partition, now time.Time) error {
	f := &footers{objects: objects, byKey: map[string]*segment.Footer{}}
	if err := f.load(ctx, stateHolders(partitions)); err != nil {
		return err
	}
	since := map[*Partition]uint64{}
	segments := map[string]int64{}
	for _, p := range partitions {
		end, err := p.restoreWhole(f, now)
		if err != nil {
			return err
		}
		since[p] = end
		for _, r := range p.Ranges {
			if r.End() > end {
				segments[r.Segment.Key] = r.Segment.Size
			}
		}
	}
	if err := f.load(ctx, segments); err != nil {
		return err
	}
	for _, p := range partitions {
		if err := p.restoreSince(f, since[p], now); err != nil {
			return err
		}
	}
	return nil
}

// stateHolders names the objects that hold the newest whole states. Sizes of
// release objects are not known: -1.
func stateHolders(partitions []*Partition) map[string]int64 {
	holders := map[string]int64{}
	for _, p := range partitions {
		if r := p.newestState(); r != nil {
			holders[r.Segment.Key] = r.Segment.Size
		} else if p.Row.State != "" {
			holders[p.Row.State] = -1
		}
	}
	return holders
}

// newestState is the newest range whose footer carries the whole state, if it
// is newer than what the partition's row names.
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
// offset it goes.
func (p *Partition) restoreWhole(f *footers, now time.Time) (uint64, error) {
	p.State = &flush.State{}
	key := p.Row.State
	if r := p.newestState(); r != nil {
		key = r.Segment.Key
	}
	if key == "" {
		return 0, nil
	}
	s := f.section(key, p)
	if s == nil || s.State == nil {
		return 0, fmt.Errorf("segment %s holds no producer state of partition %d of topic %d: %w",
			key, p.Row.Partition, p.Row.Topic, segment.ErrCorrupt)
	}
	state, end, err := producers.Parse[flush.Flight](s.State, now)
	if errors.Is(err, producers.ErrTooNew) { // so is the segment that holds it
		return 0, fmt.Errorf("segment %s: %w: %w", key, segment.ErrTooNew, err)
	}
	if err != nil {
		return 0, fmt.Errorf("segment %s: %w", key, err)
	}
	p.State = state
	return end, nil
}

// restoreSince adds the batches that were committed from an offset on.
func (p *Partition) restoreSince(f *footers, from uint64, now time.Time) error {
	for _, r := range p.Ranges {
		if r.End() <= from {
			continue
		}
		s := f.section(r.Segment.Key, p)
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

	mu    sync.Mutex
	byKey map[string]*segment.Footer
}

func (f *footers) load(ctx context.Context, sizes map[string]int64) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelGets)
	for key, size := range sizes {
		if f.byKeyOf(key) != nil {
			continue
		}
		group.Go(func() error {
			footer, err := ReadFooter(ctx, f.objects, key, size)
			if err != nil {
				return err
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.byKey[key] = footer
			return nil
		})
	}
	return group.Wait()
}

func (f *footers) byKeyOf(key string) *segment.Footer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byKey[key]
}

func (f *footers) section(key string, p *Partition) *segment.Section {
	footer := f.byKeyOf(key)
	if footer == nil {
		return nil
	}
	for i := range footer.Sections {
		s := &footer.Sections[i]
		if s.Topic == p.Row.Topic && s.Partition == p.Row.Partition {
			return s
		}
	}
	return nil
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
