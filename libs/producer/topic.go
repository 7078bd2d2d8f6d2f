package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
)

// errTopicGone makes a send look the topic up again. It stays inside.
var errTopicGone = errors.New("topic is gone")

// topic is one log, by id: a topic that is deleted and made again under its
// name is another one.
type topic struct {
	p        *Producer
	name     string
	id       uint32
	pick     TopicPartitioner
	observer BatchObserver  // nil unless pick is one
	outages  OutageObserver // the same

	// partitions only grows; every version of the slice is read without a lock.
	partitions atomic.Pointer[[]*partition]
	// gone: the topic was deleted, or its name means another one now.
	gone atomic.Bool

	failed, described logGate

	mu struct {
		sync.Mutex
		refreshing bool
		again      bool // somebody asked while the refresh was running
	}
}

func newTopic(p *Producer, name string, d *description) *topic {
	t := &topic{p: p, name: name, id: d.id, pick: p.cfg.partitioner.ForTopic(name)}
	t.observer, _ = t.pick.(BatchObserver)
	t.outages, _ = t.pick.(OutageObserver)
	t.partitions.Store(&[]*partition{})
	t.grow(d)
	if observer, ok := t.pick.(PartitionsObserver); ok {
		observer.ObservePartitions(view{topic: t})
	}
	return t
}

// unreachable notes that a partition's records wait for an owner that is away.
func (t *topic) unreachable(partition uint32) {
	if t.outages != nil {
		t.outages.PartitionUnreachable(int(partition))
	}
}

// grow adds the partitions that d has more. Only one goroutine calls it at a
// time: the lookup, and then the one refresh there may be.
func (t *topic) grow(d *description) {
	now := *t.partitions.Load()
	if len(d.owners) <= len(now) {
		return
	}
	grown := append(make([]*partition, 0, len(d.owners)), now...)
	for i := len(now); i < len(d.owners); i++ {
		grown = append(grown, newPartition(t, uint32(i), t.p.link(d.owners[i], uint32(i)), d.zones[i]))
	}
	t.partitions.Store(&grown)
}

func (t *topic) idle() bool {
	for _, pt := range *t.partitions.Load() {
		if !pt.idle() {
			return false
		}
	}
	return true
}

// forget makes the next send look the topic's name up again. What is on its way
// under the old id is resolved by the agents' answers. It takes no partition's
// lock, for partitions call it under theirs.
func (t *topic) forget() {
	if !t.gone.Swap(true) {
		t.p.retire(t)
	}
}

// refresh fetches the owners of the topic's partitions anew, in a goroutine. A
// question that is under way already may have been asked too early: then it is
// asked once more.
func (t *topic) refresh() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.refreshing {
		t.mu.again = true
		return
	}
	t.mu.refreshing = true
	t.p.wg.Go(func() { t.runRefresh(t.p.ctx) })
}

// refreshed tells whether the refresh is done; it starts anew when somebody
// has asked meanwhile.
func (t *topic) refreshed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.refreshing = t.mu.again
	t.mu.again = false
	return !t.mu.refreshing
}

// minRefresh keeps many partitions that lose their owner one after the other
// from asking for each of them.
const minRefresh = 50 * time.Millisecond

func (t *topic) runRefresh(ctx context.Context) {
	for try := 0; ; try++ {
		d, err := t.p.meta.describe(ctx, t.name)
		wait := minRefresh
		switch {
		case err == nil && d.id == t.id:
			t.apply(d)
		case err == nil:
			t.refuse(reason.New(reason.UnknownTopic, "topic %q was deleted and made again: what was meant for the old one is not sent to the new one", t.name))
		case err.Recovery() == reason.Fail:
			t.refuse(err)
		case t.idle():
			t.stayPut() // nobody waits any more
		default:
			t.p.logLookup(&t.described, t.name, err)
			if !sleep(ctx, t.p.cfg.retry.routing(try)) {
				return
			}
			continue
		}
		if t.refreshed() || !sleep(ctx, wait) {
			return
		}
		try = -1
	}
}

// apply sends every partition to its owner.
func (t *topic) apply(d *description) {
	t.grow(d)
	for i, pt := range *t.partitions.Load() {
		if i < len(d.owners) {
			pt.setZone(d.zones[i])
			pt.reroute(t.p.link(d.owners[i], pt.index))
		}
	}
}

// stayPut ends the partitions' wait for an answer that does not come.
func (t *topic) stayPut() {
	for _, pt := range *t.partitions.Load() {
		pt.reroute(nil)
	}
}

// refuse fails what is waiting to be sent to the topic.
func (t *topic) refuse(err *reason.Error) {
	if err.Reason == reason.UnknownTopic {
		t.forget()
	}
	for _, pt := range *t.partitions.Load() {
		pt.refuseAll(err)
	}
}

// sleep returns false if ctx was done first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// choose returns the partition that the partitioner wants for a record.
func (t *topic) choose(rec *Record) (*partition, error) {
	partitions := *t.partitions.Load()
	i := t.pick.Pick(*rec, len(partitions))
	if i < 0 || i >= len(partitions) {
		return nil, fmt.Errorf("%w: the partitioner chose %d and the topic has %d", ErrInvalidPartition, i, len(partitions))
	}
	return partitions[i], nil
}
