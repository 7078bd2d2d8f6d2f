package sim

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/history"
)

// retention is how long a topic keeps records, or how much of each partition; the
// other is 0.
type retention struct {
	age   time.Duration
	bytes int64
}

func (r retention) String() string {
	switch {
	case r.age > 0:
		return fmt.Sprintf("the topic \"brief\" keeps %s", r.age)
	case r.bytes > 0:
		return fmt.Sprintf("the topic \"brief\" keeps %d bytes", r.bytes)
	default:
		return "no topic lets anything go"
	}
}

// addRetention decides whether there is a topic that lets records go. Its dice are
// its own, as those of growth are.
func (p *plot) addRetention() {
	d := newDice(p.seed, 8)
	if !d.chance(35) {
		return
	}
	if p.keeps.age = d.evenly(time.Second, 20*time.Second); d.chance(50) {
		p.keeps = retention{bytes: 200 + d.Int64N(2000)}
	}
}

// brief makes the topic that lets records go, before there are faults.
func (w *World) brief() {
	if w.plot.keeps == (retention{}) {
		return
	}
	const partitions = 2
	t := w.newTopic("brief", partitions)
	t.keeps = w.plot.keeps
	if !w.create(t, time.Minute) {
		w.violate("unserved: the topic %q could not be made", t.name)
		return
	}
	if err := w.memory.Retain(context.Background(), t.name, t.keeps.age, t.keeps.bytes); err != nil {
		w.violate("unserved: %v", err)
	}
	t.join()
	t.read(newDice(w.plot.seed, 9))
}

// letGo counts the partitions that began behind offset 0 when they were judged.
var letGo atomic.Int64

// verifyBrief checks a topic that lets records go: what it has, and that it let
// nothing go early.
func (w *World) verifyBrief(ctx context.Context, t *topic, c streamhousev1.ConsumerServiceClient) {
	log, starts := history.Log{}, map[uint32]uint64{}
	for partition := range t.partitions.Load() {
		start, err := startOf(ctx, c, t.name, partition)
		if err == nil {
			log[partition], err = history.ReadPartition(ctx, c, t.name, partition, start)
		}
		if err != nil {
			w.violate("unreadable: %s/%d: %v", t.name, partition, err)
			return
		}
		if starts[partition] = start; start > 0 {
			letGo.Add(1)
			t.checkAge(partition, start)
			w.checkBytes(ctx, t, c, partition, start)
		}
	}
	for _, v := range t.history.CheckFrom(log, starts) {
		w.violate("%s: %v", t.name, v)
	}
	if trouble := t.inconsistency(log); trouble != "" {
		w.violate("nonlinear: %s: %s", t.name, trouble)
	}
}

// startOf is the first offset of a partition.
func startOf(ctx context.Context, c streamhousev1.ConsumerServiceClient, topic string, partition uint32) (uint64, error) {
	page, err := c.Fetch(ctx, &streamhousev1.FetchRequest{Topic: topic, Partition: partition, MaxBytes: 1})
	if start, refused := startIn(err); refused {
		return start, nil
	}
	return page.GetStartOffset(), err
}

// startIn is the first offset that a refusal of another tells.
func startIn(err error) (start uint64, ok bool) {
	refusal := reason.From(err)
	if refusal == nil || refusal.Reason != reason.OffsetOutOfRange {
		return 0, false
	}
	start, err = strconv.ParseUint(refusal.Metadata[reason.MetaStartOffset], 10, 64)
	return start, err == nil
}

// checkAge requires that what is seen to be gone is old enough.
func (t *topic) checkAge(partition uint32, start uint64) {
	if t.keeps.age == 0 {
		return
	}
	for _, o := range t.opsOf(partition) {
		if age := time.Since(o.sent); o.known && !o.read && o.offset < start && age < t.keeps.age {
			t.w.violate("lost: %s/%d: %v, at offset %d, was let go %s after it was sent", t.name, partition, o.id, o.offset, age)
		}
	}
}

// checkBytes requires that enough is left where something went.
func (w *World) checkBytes(ctx context.Context, t *topic, c streamhousev1.ConsumerServiceClient, partition uint32, start uint64) {
	if t.keeps.bytes == 0 {
		return
	}
	kept := int64(0)
	for next, end := start, start+1; next < end; {
		page, err := c.Fetch(ctx, &streamhousev1.FetchRequest{Topic: t.name, Partition: partition, Offset: next, MaxBytes: 4 << 20})
		if err != nil || len(page.GetBatches()) == 0 {
			w.violate("unreadable: %s/%d from offset %d on: %v", t.name, partition, next, err)
			return
		}
		for _, b := range page.GetBatches() {
			kept += int64(len(b.GetBatch()))
			entries, err := history.Decode(b)
			if err != nil {
				w.violate("unreadable: %s/%d: %v", t.name, partition, err)
				return
			}
			next = entries[len(entries)-1].Offset + 1
		}
		end = page.GetEndOffset()
	}
	if kept < t.keeps.bytes {
		w.violate("lost: %s/%d has %d bytes, from offset %d on, and keeps %d", t.name, partition, kept, start, t.keeps.bytes)
	}
}

// inconsistency holds together what appends were told, what was read at any time,
// and the log: each offset has one record, and each record one offset.
func (t *topic) inconsistency(log history.Log) string {
	for partition, entries := range log {
		ids, offsets := map[uint64]history.ID{}, map[history.ID]uint64{}
		ops := t.opsOf(partition)
		for _, e := range entries {
			ops = append(ops, op{read: true, known: true, id: e.ID, offset: e.Offset})
		}
		for _, o := range ops {
			if !o.known {
				continue
			}
			if id, ok := ids[o.offset]; ok && id != o.id {
				return fmt.Sprintf("offset %d of partition %d has %v and %v", o.offset, partition, id, o.id)
			}
			if offset, ok := offsets[o.id]; ok && offset != o.offset {
				return fmt.Sprintf("%v stands at offset %d and at %d", o.id, offset, o.offset)
			}
			ids[o.offset], offsets[o.id] = o.id, o.offset
		}
	}
	return ""
}
