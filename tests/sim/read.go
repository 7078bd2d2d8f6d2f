package sim

import (
	"context"
	"time"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/history"
)

// read lets somebody read the topic here and there until its end: whatever agent
// answers has to tell what stays true.
func (t *topic) read(d dice) {
	w := t.w
	ends := map[uint32]uint64{}
	t.senders.Go(func() {
		for {
			select {
			case <-t.stop:
				return
			case <-time.After(d.evenly(0, 2*w.plot.readEvery)):
			}
			partition := uint32(d.IntN(int(t.partitions.Load())))
			offset := d.Uint64N(ends[partition] + 1)
			if d.chance(70) {
				offset = ends[partition] - min(ends[partition], d.Uint64N(4))
			}
			ends[partition] = max(ends[partition], t.fetch(address(d.IntN(w.plot.agents)), partition, offset))
		}
	})
}

// readers are numbered beside the clients.
const readerClient = 1000

// fetch reads from one agent and notes what it says. It returns the end that it
// saw.
func (t *topic) fetch(address string, partition uint32, offset uint64) (end uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	from := t.w.clock.Add(1)
	page, err := streamhousev1.NewConsumerServiceClient(t.w.conn(address)).Fetch(ctx,
		&streamhousev1.FetchRequest{Topic: t.name, Partition: partition, Offset: offset, MaxBytes: 1 << 10})
	till := t.w.clock.Add(1)
	if start, refused := startIn(err); refused {
		t.checkAge(partition, start)
	}
	if err != nil {
		return 0
	}
	t.checkAge(partition, page.GetStartOffset())
	for _, b := range page.GetBatches() {
		entries, err := history.Decode(b)
		if err != nil {
			t.w.violate("foreign: a read of %s/%d at offset %d: %v", t.name, partition, offset, err)
			return 0
		}
		for _, e := range entries {
			if e.Err != nil || e.ID.Partition != partition {
				t.w.violate("foreign: a read of %s/%d finds %v at offset %d: %v", t.name, partition, e.ID, e.Offset, e.Err)
				continue
			}
			t.note(op{client: readerClient, read: true, id: e.ID, offset: e.Offset, known: true, from: from, till: till})
		}
	}
	return page.GetEndOffset()
}
