package producer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer/internal/fifo"
	"github.com/streamhouse/streamhouse/libs/producer/internal/quota"
	"github.com/streamhouse/streamhouse/proto/batch"
)

// partition holds everything that is on its way to one partition. It has no
// goroutine: those that send records close its batches, a link takes them, and
// the link's answers move it on. See DESIGN.md for the invariants.
type partition struct {
	p     *Producer
	topic *topic
	index uint32
	share *quota.Share // of the buffer

	// What partitioners look at: mu.link, and the zone of the partition's owner.
	owner atomic.Pointer[link]
	zone  atomic.Pointer[string]

	mu struct {
		sync.Mutex
		refuse error // set by Close
		open   *recordBatch
		// sealed are the closed batches that are not delivered, oldest first.
		// The first of them is never resolved: resolved ones leave at once
		// when they come to the front. Those before index sent are under way
		// or were, in this round of transmissions.
		sealed fifo.Queue[*recordBatch]
		sent   int
		flying int // batches with a pending transmission

		id       uint64 // producer id, 0 until it is needed
		nextSeq  uint64
		lastSend time.Time // when the latest numbered batch was born

		route
		recovery

		timer   *time.Timer
		armedAt time.Time // zero while the timer is not armed

		lastSize, lastRecords int // of the batch closed last, for the next one
	}
}

func newPartition(t *topic, index uint32, l *link, zone string) *partition {
	pt := &partition{p: t.p, topic: t, index: index, share: t.p.quota.NewShare()}
	pt.mu.link = l
	pt.owner.Store(l)
	pt.zone.Store(&zone)
	return pt
}

func (pt *partition) setZone(zone string) {
	if *pt.zone.Load() != zone {
		pt.zone.Store(&zone)
	}
}

// append adds a record to the open batch, and closes the batch when it is
// full. Compression is left to after the lock.
func (pt *partition) append(rec *batch.Record, size int, done func(Ack, error), async bool) error {
	cfg := &pt.p.cfg
	var before, after *recordBatch
	pt.mu.Lock()
	if err := pt.refusesLocked(); err != nil {
		pt.mu.Unlock()
		return err
	}
	if b := pt.mu.open; b != nil && !cfg.batch.fits(len(b.callbacks), b.builder.Size(), size) {
		before = pt.closeLocked()
	}
	if pt.mu.open == nil {
		pt.openLocked(size)
	}
	b := pt.mu.open
	b.add(rec, size, done, async)
	if cfg.batch.full(len(b.callbacks), b.builder.Size()) {
		after = pt.closeLocked()
	} else if pt.eagerLocked() {
		pt.scheduleLocked()
	}
	pt.mu.Unlock()
	if before != nil {
		pt.encode(before)
	}
	if after != nil {
		pt.encode(after)
	}
	return nil
}

// reserve takes room for a record.
func (pt *partition) reserve(ctx context.Context, size int) error {
	if pt.share.TryAcquire(size) {
		return nil
	}
	began := time.Now()
	err := pt.reserveWhenFull(ctx, size)
	for _, h := range pt.p.cfg.hooks.full {
		h.OnBufferFull(BufferFullEvent{Topic: pt.topic.name, Partition: pt.index, Waited: time.Since(began), Err: err})
	}
	return err
}

func (pt *partition) reserveWhenFull(ctx context.Context, size int) error {
	if pt.p.cfg.failWhenFull {
		return pt.fullError()
	}
	if err := pt.share.Acquire(ctx, size); err != nil {
		return fmt.Errorf("wait for room in the buffer: %w", err)
	}
	return nil
}

func (pt *partition) fullError() error {
	cfg := &pt.p.cfg
	records, bytes := pt.p.quota.Used()
	mine, mineBytes := pt.share.Used()
	return fmt.Errorf("%w: %d of %d records and %d of %d bytes, of which this partition has %d and %d", ErrBufferFull,
		records, cfg.maxBufferedRecords, bytes, cfg.maxBufferedBytes, mine, mineBytes)
}

// refusal is the error of a record that was never sent.
func (pt *partition) refusal(err error) *Error {
	return &Error{Topic: pt.topic.name, Partition: int32(pt.index), Outcome: NotDone, Err: err}
}

// refusesLocked returns why no more records are taken. Being asked under the
// lock, a topic that finds its partitions idle after it is gone knows that they
// stay so.
func (pt *partition) refusesLocked() error {
	if pt.topic.gone.Load() {
		return errTopicGone
	}
	return pt.mu.refuse
}

func (pt *partition) openLocked(size int) {
	b := pt.p.pool.get(max(size, pt.mu.lastSize), max(1, pt.mu.lastRecords))
	b.part, b.born = pt, time.Now()
	pt.mu.open = b
	pt.armLocked(pt.closingTime(b))
}

// eagerLocked tells whether the open batch is to be sent as soon as the link is
// free. With adaptive linger that is so while nothing is on its way: the next
// answer is then soon enough for what comes after it, and nobody waits for
// records that may never come.
func (pt *partition) eagerLocked() bool {
	cfg := &pt.p.cfg
	return cfg.batch.Linger == 0 || cfg.adaptiveLinger && pt.mu.flying == 0
}

// closingTime is when the open batch is closed at the latest. With linger 0 it
// is the link that closes it, and the delivery timeout stands behind that.
func (pt *partition) closingTime(b *recordBatch) time.Time {
	cfg := &pt.p.cfg
	if cfg.batch.Linger == 0 {
		return b.born.Add(cfg.deliveryTimeout)
	}
	return cfg.batch.due(b.born)
}

// closeLocked ends the open batch, if there is one. The caller encodes what it
// returns, after it has let go of the lock.
func (pt *partition) closeLocked() *recordBatch {
	b := pt.mu.open
	if b == nil {
		return nil
	}
	pt.mu.open = nil
	pt.mu.lastSize, pt.mu.lastRecords = b.builder.Size(), len(b.callbacks)
	b.capacity = max(b.capacity, b.builder.Size())
	pt.mu.sealed.Push(b)
	pt.armLocked(b.born.Add(pt.p.cfg.deliveryTimeout))
	if pt.topic.observer != nil {
		pt.topic.observer.BatchClosed(int(pt.index))
	}
	if pt.p.cfg.compression == NoCompression {
		b.state = waiting
		pt.scheduleLocked()
		return nil
	}
	b.state = encoding
	return b
}

// encode compresses a batch that closeLocked returned; nil is fine.
func (pt *partition) encode(b *recordBatch) {
	if b == nil {
		return
	}
	b.builder.Compress(pt.p.cfg.compression)
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if b.state == encoding { // else it was given up meanwhile
		b.state = waiting
		pt.scheduleLocked()
	}
}

// flush closes the open batch and makes w wait for everything that was sent so
// far. With refuse set, no more records are taken.
func (pt *partition) flush(w *flushWait, refuse error) {
	pt.mu.Lock()
	if refuse != nil {
		pt.mu.refuse = refuse
	}
	b := pt.closeLocked()
	if n := pt.mu.sealed.Len(); n > 0 {
		// Batches leave in order: the last one is resolved after all others.
		last := pt.mu.sealed.At(n - 1)
		last.flushes = append(last.flushes, w)
		w.add()
	}
	pt.mu.Unlock()
	pt.encode(b)
}

// idle tells whether nothing is on its way.
func (pt *partition) idle() bool {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	return pt.mu.open == nil && pt.mu.sealed.Len() == 0
}
