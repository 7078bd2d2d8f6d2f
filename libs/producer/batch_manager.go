package producer

import (
	"container/list"
	"fmt"
	"sync"
	"time"
)

// BatchManager gathers records into batches, partition by partition, for
// applications that send them by themselves: with the unary call Produce, or
// over a transport of their own. It has no goroutine and no timer; whoever owns
// it asks for what is due.
//
//	m, err := producer.NewBatchManager(producer.DefaultBatchPolicy())
//	...
//	ready, err := m.Append("orders", 3, record) // full batches
//	ready = m.ReadyBatches()                    // those that have waited long enough, now and then
//	ready = m.FlushAll()                        // the rest, at the end
//
// A [Producer] closes its batches by the same rules, and sends, retries and
// compresses besides.
//
// It is safe for concurrent use. Batches of one partition that different
// goroutines got are put in order by their Sequence.
type BatchManager struct {
	policy BatchPolicy

	mu struct {
		sync.Mutex
		buffers map[partitionKey]*managedBuffer
		// open are the buffers that hold a batch, oldest first: all wait for
		// the same time, so the first is the first to be due.
		open  list.List
		bytes int
	}
}

type partitionKey struct {
	topic     string
	partition uint32
}

type managedBuffer struct {
	BatchBuffer
	place *list.Element // in open; nil while the buffer is empty
}

// maxManagedBytes is as much as a Producer buffers by default.
const maxManagedBytes = 64 << 20

// NewBatchManager makes an empty manager.
func NewBatchManager(policy BatchPolicy) (*BatchManager, error) {
	if err := policy.validate(); err != nil {
		return nil, fmt.Errorf("new batch manager: %w", err)
	}
	m := &BatchManager{policy: policy}
	m.mu.buffers = map[partitionKey]*managedBuffer{}
	return m, nil
}

// Append copies rec into the batch of its partition and returns the batches
// that are to be sent now, in order: mostly none, sometimes one, and two when a
// record does not fit the batch and fills the next one. The fields Topic and
// Partition of rec are ignored.
//
// All open batches together hold 64 MiB at the most: beyond that, the batch of
// the record is returned early. A partition without records takes no buffer,
// only some 100 bytes.
//
// It fails as BatchBuffer.Append does.
func (m *BatchManager) Append(topic string, partition uint32, rec Record) ([]*Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.bufferLocked(partitionKey{topic: topic, partition: partition})
	size, open := b.Size(), b.open
	ready, err := b.Append(rec)
	m.mu.bytes += b.Size() - size
	if m.mu.bytes > maxManagedBytes {
		m.mu.bytes -= b.Size()
		ready = append(ready, b.Drain())
	}
	if b.open != open {
		m.placeLocked(b)
	}
	return ready, err
}

func (m *BatchManager) bufferLocked(key partitionKey) *managedBuffer {
	b := m.mu.buffers[key]
	if b == nil {
		b = &managedBuffer{BatchBuffer: BatchBuffer{topic: key.topic, partition: key.partition, policy: m.policy}}
		m.mu.buffers[key] = b
	}
	return b
}

// placeLocked keeps the open buffers in order after b's batch has changed.
func (m *BatchManager) placeLocked(b *managedBuffer) {
	if b.place != nil {
		m.mu.open.Remove(b.place)
		b.place = nil
	}
	if b.open != nil {
		b.place = m.mu.open.PushBack(b)
	}
}

// ReadyBatches returns the batches that have waited for the policy's linger,
// oldest first.
func (m *BatchManager) ReadyBatches() []*Batch {
	now := time.Now()
	return m.drain(func(b *managedBuffer) bool { return !now.Before(b.Due()) })
}

// FlushAll returns all open batches, oldest first.
func (m *BatchManager) FlushAll() []*Batch {
	return m.drain(func(*managedBuffer) bool { return true })
}

// NextDue returns when ReadyBatches is to be called next, the zero time while
// there are no records.
func (m *BatchManager) NextDue() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if first := m.mu.open.Front(); first != nil {
		return first.Value.(*managedBuffer).Due()
	}
	return time.Time{}
}

// drain takes batches out, oldest first, up to the first that is not to be.
func (m *BatchManager) drain(take func(*managedBuffer) bool) []*Batch {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ready []*Batch
	for first := m.mu.open.Front(); first != nil; first = m.mu.open.Front() {
		b := first.Value.(*managedBuffer)
		if !take(b) {
			break
		}
		m.mu.bytes -= b.Size()
		ready = append(ready, b.Drain())
		m.placeLocked(b)
	}
	return ready
}
