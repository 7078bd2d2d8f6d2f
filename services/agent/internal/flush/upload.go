package flush

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// written is a buffer as an object.
type written struct {
	key     string
	body    objstore.Body
	order   []int // the buffer's sections, as they stand in the object
	commits []journal.Commit
}

// Backoff between two tries at writing a segment.
const (
	firstBackoff = 20 * time.Millisecond
	maxBackoff   = 2 * time.Second
)

// upload writes the buffer's segment, and tries until it stands or ctx ends.
// Each try has a key of its own: one whose outcome is unknown may still land.
func (p *Pipeline) upload(ctx context.Context, b *buffer, workers *sync.WaitGroup) error {
	b.copies.Wait()
	w, err := p.compose(b)
	if err != nil {
		return fmt.Errorf("compose segment: %w", err) // what follows cannot be committed without it
	}
	for backoff := firstBackoff; ctx.Err() == nil; backoff = min(2*backoff, maxBackoff) {
		key, err := p.put(ctx, b, w, workers)
		if err == nil {
			w.key = key
			p.stands(b, w)
			return nil
		}
		p.deps.Logger.Warn("segment not written, trying again", slog.String("key", key), slog.Any("error", err))
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
	}
	return nil
}

// stands hands a buffer over to commitAll, and its place to the next upload.
func (p *Pipeline) stands(b *buffer, w *written) {
	p.mu.Lock()
	b.segment = w
	p.uploading--
	p.mu.Unlock()
	nudge(p.landed)
	p.signal()
}

// tried is what became of one copy of a segment.
type tried struct {
	key string
	err error
}

// put writes the segment once, and a copy of it when that takes unusually long.
// It returns the key of the one that stands.
func (p *Pipeline) put(ctx context.Context, b *buffer, w *written, workers *sync.WaitGroup) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, p.opts.PutTimeout)
	defer cancel() // the copy that lost is of no use
	if p.opts.HedgeBudget == 0 {
		key := Key(p.deps.Session, b.number)
		return key, p.deps.Objects.Put(ctx, key, w.body)
	}
	var due <-chan time.Time
	if after := p.hedger.begin(); after > 0 {
		timer := time.NewTimer(after)
		defer timer.Stop()
		due = timer.C
	}
	results := make(chan tried, 2)
	p.putCopy(ctx, b, w, workers, results, true)
	for running := 1; ; {
		select {
		case r := <-results:
			if running--; r.err == nil || running == 0 {
				return r.key, r.err
			}
		case <-due:
			if p.hedger.spend() {
				p.putCopy(ctx, b, w, workers, results, false)
				running++
			}
		}
	}
}

// putCopy starts to write a copy. It keeps the buffer's bytes, which the other
// copy's commit may give back meanwhile.
func (p *Pipeline) putCopy(ctx context.Context, b *buffer, w *written, workers *sync.WaitGroup, results chan<- tried, first bool) {
	key := Key(p.deps.Session, b.number)
	body, began := w.body, time.Now()
	b.retain()
	workers.Go(func() {
		defer b.release()
		err := p.deps.Objects.Put(ctx, key, body)
		if first && (err == nil || ctx.Err() != nil) {
			p.hedger.observe(time.Since(began))
		}
		results <- tried{key: key, err: err} // has room for both
	})
}

// Key makes a key for a try at a session's segment. Keys are never used twice;
// the session's id, which is random, spreads agents over prefixes.
func Key(session string, number uint64) string {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	return fmt.Sprintf("%s/%012d-%s", session, number, hex.EncodeToString(random[:]))
}

// compose lays a buffer out as a segment: pieces in the order of partitions,
// and within each in the order of arrival, without moving a byte.
func (p *Pipeline) compose(b *buffer) (*written, error) {
	version := p.deps.Format.Version()
	head, err := segment.AppendHeader(nil, segment.Header{Session: p.deps.Session, Version: version})
	if err != nil {
		return nil, err
	}
	w := &written{order: sectionOrder(b)}
	entries := w.entryOrder(b)
	index := footer(b, w.order, entries)
	index.Version = version
	foot := segment.AppendFooter(nil, index)
	w.gather(b, head, entries, foot)
	for _, i := range w.order {
		s := &b.sections[i]
		w.commits = append(w.commits, journal.Commit{
			Topic: s.tenure.Topic, Partition: s.tenure.Partition, Epoch: s.tenure.Epoch,
			Records: s.records, Size: s.size, State: s.state != nil,
		})
	}
	return w, nil
}

// sectionOrder sorts the sections by topic and partition.
func sectionOrder(b *buffer) []int {
	order := make([]int, len(b.sections))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int {
		a, b := b.sections[x].tenure.ID, b.sections[y].tenure.ID
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return order
}

// entryOrder lists the entries section by section: a counting sort, which
// keeps the order of arrival within each.
func (w *written) entryOrder(b *buffer) []int {
	starts := make([]int, len(b.sections))
	n := 0
	for _, i := range w.order {
		starts[i] = n
		n += b.sections[i].batches
	}
	entries := make([]int, len(b.entries))
	for i := range b.entries {
		s := b.entries[i].section
		entries[starts[s]] = i
		starts[s]++
	}
	return entries
}

// footer describes the batches in the order of entries.
func footer(b *buffer, order, entries []int) *segment.Footer {
	flat := make([]segment.Batch, len(entries))
	for i, e := range entries {
		e := &b.entries[e]
		flat[i] = segment.Batch{
			Size: e.size, Records: e.batch.Records, CRC: e.batch.CRC,
			ProducerID: e.batch.Producer, Sequence: e.batch.Sequence, MaxTimestamp: e.maxTime,
		}
	}
	f := &segment.Footer{Number: b.number, Sections: make([]segment.Section, len(order))}
	for i, k := range order {
		s := &b.sections[k]
		f.Sections[i] = segment.Section{
			Topic: s.tenure.Topic, Partition: s.tenure.Partition, Size: s.size, Records: s.records,
			Batches: flat[:s.batches:s.batches], State: s.state,
		}
		s.maxTime = math.MinInt64
		for i := range s.batches {
			s.maxTime = max(s.maxTime, flat[i].MaxTimestamp)
		}
		flat = flat[s.batches:]
	}
	return f
}

// gather lists the object's pieces, neighbours in the buffer as one, and its
// checksum, which comes from the batches' own without a second look at them.
func (w *written) gather(b *buffer, head []byte, entries []int, foot []byte) {
	parts := append(make([][]byte, 0, len(b.sections)+2), head)
	crc, from, to := segment.Update(0, head), uint32(0), uint32(0)
	for _, i := range entries {
		e := &b.entries[i]
		if e.at != to || from == to {
			if from != to {
				parts = append(parts, b.data[from:to])
			}
			from, to = e.at, e.at
		}
		to += e.size
		crc = segment.Combine(crc, segment.BatchCRC(b.data[e.at:e.at+8], e.batch.CRC, e.size), int64(e.size))
	}
	if from != to {
		parts = append(parts, b.data[from:to])
	}
	w.body = objstore.Body{Parts: append(parts, foot), CRC32C: segment.Update(crc, foot)}
	for _, part := range w.body.Parts {
		w.body.Size += int64(len(part))
	}
}
