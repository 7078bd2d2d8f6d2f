package compaction

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// Folder is where merged objects stand, apart from what sessions flush.
const Folder = "merged/"

// parallelRows is how many rows are written at a time.
const parallelRows = 16

// merge writes a batch of objects and moves the checkpoints. What fails is tried
// again in a later round.
func (c *Compactor) merge(ctx context.Context, objects []*object) {
	gets := c.gather(ctx, objects)
	var written []*writtenObject
	for _, o := range objects {
		if w := c.write(ctx, o); w != nil {
			w.gets, gets = gets, 0
			written = append(written, w)
		}
	}
	if len(written) == 0 {
		return
	}
	states, err := c.deps.Owner.PutStates(ctx, tenuresOf(written))
	if err != nil {
		for _, w := range written {
			c.fail(w.parts, err)
		}
		return
	}
	defer states.Forget()
	for _, w := range written {
		c.publish(ctx, w, states)
	}
}

// writtenObject is an object that stands.
type writtenObject struct {
	key   string
	size  int64
	parts []*part
	gets  uint64
}

// write writes an object of what could be read of its parts.
func (c *Compactor) write(ctx context.Context, o *object) *writtenObject {
	parts := make([]*part, 0, len(o.parts))
	for _, p := range o.parts {
		if p.err == nil {
			p.err = p.check()
		}
		if p.err == nil && c.ids[p.tenure] != p.id {
			p.err = errBefore
		}
		if p.err != nil {
			c.fail([]*part{p}, p.err)
		} else {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	w, err := c.put(ctx, parts)
	if err != nil {
		c.fail(parts, err)
		return nil
	}
	return w
}

// errBefore is why a part is not merged whose predecessor was not.
var errBefore = errors.New("what comes before it was not merged")

func (c *Compactor) fail(parts []*part, err error) {
	for _, p := range parts {
		p.err = err
		c.failed(p.tenure, err)
	}
}

// put notes the merge, and then writes its object.
func (c *Compactor) put(ctx context.Context, parts []*part) (*writtenObject, error) {
	number := c.number
	c.number++
	key := Folder + flush.Key(c.deps.Session, number)
	note := &meta.Merge{Session: c.deps.Session, Number: number, Object: key}
	noted := make([]index.Part, len(parts))
	for i, p := range parts {
		noted[i] = index.Part{
			Topic: p.tenure.Topic, Partition: p.tenure.Partition, Compaction: p.id, Base: p.base(), Records: p.end() - p.base(),
		}
	}
	note.Parts = index.AppendParts(nil, noted)
	if err := c.create(ctx, note); err != nil {
		return nil, fmt.Errorf("note merge: %w", err)
	}
	body, err := c.compose(parts, number)
	if err != nil {
		return nil, fmt.Errorf("compose merged segment: %w", err)
	}
	if err := retry(ctx, func(ctx context.Context) error {
		err := c.deps.Objects.Put(ctx, key, body)
		if errors.Is(err, objstore.ErrExists) { // an earlier try of ours: nobody else has the key
			return nil
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("write merged segment: %w", err)
	}
	return &writtenObject{key: key, size: body.Size, parts: parts}, nil
}

// compose lays the parts out as a segment.
func (c *Compactor) compose(parts []*part, number uint64) (objstore.Body, error) {
	version := c.deps.Format.Version()
	head, err := segment.AppendHeader(nil, segment.Header{Session: c.deps.Session, Version: version})
	if err != nil {
		return objstore.Body{}, err
	}
	foot := &segment.Footer{Number: number, Version: version}
	body := objstore.Body{Parts: [][]byte{head}}
	for _, p := range parts {
		foot.Sections = append(foot.Sections, segment.Section{Topic: p.tenure.Topic, Partition: p.tenure.Partition, Batches: p.batches})
		body.Parts = append(body.Parts, p.data)
	}
	body.Parts = append(body.Parts, segment.AppendFooter(nil, foot))
	for _, b := range body.Parts {
		body.Size += int64(len(b))
		body.CRC32C = segment.Update(body.CRC32C, b)
	}
	return body, nil
}

// create writes a row that nobody else writes, until it is known to stand.
func (c *Compactor) create(ctx context.Context, row meta.Row) error {
	return retry(ctx, func(ctx context.Context) error {
		err := c.deps.Rows.Create(ctx, row)
		if !errors.Is(err, meta.ErrExists) {
			return err
		}
		switch row := row.(type) {
		case *meta.Merge:
			found := &meta.Merge{Session: row.Session, Number: row.Number}
			return same(c.deps.Rows.Get(ctx, found), found.Object == row.Object)
		case *meta.Run:
			found := &meta.Run{Log: row.Log, Last: row.Last}
			return same(c.deps.Rows.Get(ctx, found), found.Object == row.Object)
		default:
			return err
		}
	})
}

func same(err error, ours bool) error {
	if err == nil && !ours {
		return errors.New("another row has its place")
	}
	return err
}

// publish names an object's parts in the index, and moves the checkpoints.
func (c *Compactor) publish(ctx context.Context, w *writtenObject, states *States) {
	now := time.Now().UnixMilli()
	at := uint64(segment.HeaderSize)
	var group errgroup.Group
	group.SetLimit(parallelRows)
	for _, p := range w.parts {
		row := p.row(w, at, now)
		at += uint64(p.size)
		if c.ids[p.tenure] != p.id {
			p.err = errBefore
			continue
		}
		group.Go(func() error {
			p.err = c.publishPart(ctx, p, row, states)
			return nil
		})
	}
	_ = group.Wait() // each failure is in its part
	var bytes, records, parts uint64
	for _, p := range w.parts {
		if p.err != nil {
			c.failed(p.tenure, p.err)
			continue
		}
		delete(c.waiting, p.tenure)
		bytes += uint64(p.size)
		records += p.end() - p.base()
		parts++
	}
	if bytes > 0 {
		c.deps.Counters.Merged(bytes, records, parts, w.gets)
	}
}

// row is the part's row of the index.
func (p *part) row(w *writtenObject, at uint64, nowMillis int64) *meta.Run {
	latest := p.blocks[0].MaxTimestamp
	for _, b := range p.blocks {
		latest = max(latest, b.MaxTimestamp)
	}
	return &meta.Run{
		Log: meta.RunHash(p.tenure.Topic, p.tenure.Partition, p.id), Last: p.end() - 1, Base: p.base(),
		Object: w.key, Size: w.size, At: at, Blocks: index.AppendBlocks(nil, p.blocks),
		Total: p.total, MaxTimestamp: latest, MergedMillis: nowMillis,
	}
}

func (c *Compactor) publishPart(ctx context.Context, p *part, row *meta.Run, states *States) error {
	if states.Ends[p.tenure.ID] < p.end() {
		return errors.New("the producers' states are not as new as what is merged")
	}
	if err := c.create(ctx, row); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	var stands *meta.Partition
	err := c.deps.Owner.Change(ctx, p.tenure, func(now *meta.Partition) (bool, error) {
		stands = now
		if now.Checkpoint.Names(p.id, p.base()) {
			return false, nil // an earlier try stands
		}
		if now.Checkpoint.End != p.base() {
			return false, fmt.Errorf("the checkpoint is at offset %d, and the merge begins at %d", now.Checkpoint.End, p.base())
		}
		p.covers(now, states)
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("move checkpoint: %w", err)
	}
	p.tenure.Index.Advance(stands)
	return nil
}

func tenuresOf(written []*writtenObject) []*flush.Tenure {
	all := map[*flush.Tenure]bool{}
	for _, w := range written {
		for _, p := range w.parts {
			all[p.tenure] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b *flush.Tenure) int { return a.ID.Compare(b.ID) })
}
