package sim

import (
	"context"
	"time"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// addGrowth lets the first topic have more partitions, while it is written to
// and read. Its dice are its own, so that the other events of a seed are what
// they would be without it.
func (p *plot) addGrowth() {
	d := newDice(p.seed, 6)
	if !d.chance(40) {
		return
	}
	count := p.partitions
	for range 1 + d.IntN(3) {
		count += 1 + uint32(d.IntN(4))
		wanted := count
		p.add(d.evenly(0, p.length), func(w *World) { w.grow(w.topics[0], wanted, growPatience) }, "the topic \"orders\" gets %d partitions", wanted)
	}
}

const growPatience = 3 * time.Second

// grow adds partitions to a topic. Where that has no end in time they may be
// there all the same, and nobody sends to them.
func (w *World) grow(t *topic, wanted uint32, limit time.Duration) bool {
	if wanted <= t.partitions.Load() {
		return true // another growth came first
	}
	t.wanted = max(t.wanted, wanted)
	done := w.try(limit, nil, func(ctx context.Context, c streamhousev1.TopicServiceClient) error {
		answer, err := c.UpdateTopic(ctx, &streamhousev1.UpdateTopicRequest{Name: t.name, PartitionCount: &t.wanted})
		if err == nil && answer.GetTopic().GetPartitionCount() != t.wanted {
			w.violate("contradicted: %s shall have %d partitions and is told to have %d", t.name, t.wanted, answer.GetTopic().GetPartitionCount())
		}
		return err
	})
	if done {
		t.partitions.Store(t.wanted)
	}
	return done
}

// endGrowth repeats a growth that had no end: without faults it has one.
func (w *World) endGrowth() {
	for _, t := range w.topics {
		if t.exists && !w.grow(t, t.wanted, servedWithin) {
			w.violate("unserved: %s does not get its %d partitions within %s after the last fault", t.name, t.wanted, servedWithin)
		}
	}
}
