package compaction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

const (
	// parallelGets is how many segments are read at a time, and maxGet how much of
	// one by one request.
	parallelGets = 16
	maxGet       = 4 << 20
	// maxGap is how much is read in vain rather than by another request.
	maxGap = 64 << 10
	// blockBytes is what readers ask for at a time.
	blockBytes = 1 << 20
)

// source is what was read for a part.
type source struct {
	data    []byte
	batches []segment.Batch
	blocks  []index.Block
}

// piece is a range of a part and where it goes.
type piece struct {
	part *part
	key  string
	at   int64
	dst  []byte
}

// gather reads the parts of all objects. A part that cannot be read has an err.
func (c *Compactor) gather(ctx context.Context, objects []*object) (gets uint64) {
	var pieces []piece
	for _, o := range objects {
		for _, p := range o.parts {
			p.data = make([]byte, p.size)
			at := 0
			for _, r := range p.ranges {
				pieces = append(pieces, piece{part: p, key: r.Segment.Key, at: int64(r.At), dst: p.data[at:][:r.Size]})
				at += int(r.Size)
			}
		}
	}
	slices.SortFunc(pieces, func(a, b piece) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.at, b.at)) })
	var n atomic.Uint64
	var group errgroup.Group
	group.SetLimit(parallelGets)
	failed := make([]error, len(pieces))
	for from := 0; from < len(pieces); {
		to := from + 1
		for to < len(pieces) && neighbours(pieces[from], pieces[to-1], pieces[to]) {
			to++
		}
		some, errs := pieces[from:to], failed[from:to]
		group.Go(func() error {
			n.Add(1)
			err := c.read(ctx, some)
			for i := range errs {
				errs[i] = err
			}
			return nil
		})
		from = to
	}
	_ = group.Wait() // each failure is in failed
	for i, err := range failed {
		if err != nil {
			pieces[i].part.err = err
		}
	}
	return n.Load()
}

// neighbours says whether next is read with the pieces from first to last.
func neighbours(first, last, next piece) bool {
	return next.key == first.key && next.at-(last.at+int64(len(last.dst))) <= maxGap && next.at+int64(len(next.dst))-first.at <= maxGet
}

// Tries at one read, the pause after the first, which doubles, and how long one
// may take.
const (
	tries      = 5
	firstPause = 20 * time.Millisecond
	getTimeout = 30 * time.Second
)

// read reads pieces of one object by one request.
func (c *Compactor) read(ctx context.Context, pieces []piece) error {
	first, last := pieces[0], pieces[len(pieces)-1]
	size := last.at + int64(len(last.dst)) - first.at
	if err := c.pace.wait(ctx, size, c.opts.BytesPerSecond); err != nil {
		return err
	}
	var b []byte
	err := retry(ctx, func(ctx context.Context) (err error) {
		b, err = c.deps.Objects.Get(ctx, first.key, first.at, size)
		return err
	})
	if err != nil {
		return fmt.Errorf("read segment %s: %w", first.key, err)
	}
	for _, p := range pieces {
		copy(p.dst, b[p.at-first.at:])
	}
	return nil
}

// retry tries what may pass again a few times.
func retry(ctx context.Context, do func(context.Context) error) error {
	pause := firstPause
	for try := 1; ; try++ {
		limited, cancel := context.WithTimeout(ctx, getTimeout)
		err := do(limited)
		cancel()
		if err == nil || try == tries || errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange) {
			return err
		}
		if sleep(ctx, pause) != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		pause *= 2
	}
}

// check goes through a part's batches, which must be whole and as many as the
// journal says: damage is not carried on.
func (p *part) check() error {
	rest := p.data
	for i := range p.ranges {
		r := &p.ranges[i]
		inRange, records := rest[:r.Size], uint64(0)
		rest = rest[r.Size:]
		for len(inRange) > 0 {
			h, err := batch.ParseHeader(inRange)
			if err == nil && int(h.Size) > len(inRange) {
				err = fmt.Errorf("%w: it is cut off", batch.ErrCorrupt)
			}
			if err == nil {
				_, err = batch.Check(inRange[:h.Size])
			}
			if err != nil {
				return fmt.Errorf("segment %s at offset %d: %w", r.Segment.Key, r.Base+records, err)
			}
			p.add(&h)
			records += uint64(h.Records)
			inRange = inRange[h.Size:]
		}
		if records != uint64(r.Records) {
			return fmt.Errorf("segment %s at offset %d: %w: %d records where %d were committed", r.Segment.Key, r.Base, segment.ErrCorrupt, records, r.Records)
		}
	}
	return nil
}

func (p *part) add(h *batch.Header) {
	p.batches = append(p.batches, segment.Batch{
		Size: h.Size, Records: h.Records, CRC: h.CRC,
		ProducerID: h.ProducerID, Sequence: h.Sequence, MaxTimestamp: h.MaxTimestamp,
	})
	last := len(p.blocks) - 1
	if last < 0 || p.blocks[last].Size+h.Size > blockBytes {
		p.blocks = append(p.blocks, index.Block{MaxTimestamp: h.MaxTimestamp})
		last++
	}
	b := &p.blocks[last]
	b.Records += h.Records
	b.Size += h.Size
	b.MaxTimestamp = max(b.MaxTimestamp, h.MaxTimestamp)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
