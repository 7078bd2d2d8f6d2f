package producer

import (
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
)

// batchState is where a batch stands.
type batchState uint8

const (
	filling  batchState = iota // takes records
	encoding                   // closed; somebody compresses it
	waiting                    // to be sent, or to be sent again
	flying                     // sent and not answered
	acked                      // in the log; earlier batches are not resolved yet
	failed                     // given up; earlier batches are not resolved yet
)

// recordBatch is a batch from its first record to its callbacks. Its
// partition's mutex guards it, with two exceptions: the builder belongs to
// whoever encodes it while it is encoding, and then, with data, to the link
// that sends it; and once it was delivered, all of it but pending belongs to the
// deliverer.
type recordBatch struct {
	part      *partition
	builder   batch.Builder
	callbacks []func(Ack, error)
	born      time.Time
	bytes     int  // what the quota counts for its records
	async     bool // some record came by SendAsync
	capacity  int  // what the builder's buffer has at least

	state batchState
	// id and seq are the batch's identity: the producer id, 0 for none yet,
	// and the sequence under it. They are given at the first transmission and
	// kept for as long as the batch could be in the log.
	id, seq uint64
	data    []byte // sealed under the identity; nil when it has to be sealed
	// pending: a transmission is on its way. A batch that was given up can
	// still be pending.
	pending bool
	// doubtful: some transmission ended without a clear 'not appended'.
	doubtful bool
	sends    int
	retries  int

	base    uint64 // once acked
	err     *Error // once failed
	flushes []*flushWait
}

// add takes a record in. The caller has seen that it fits, by the BatchPolicy.
func (b *recordBatch) add(rec *batch.Record, size int, done func(Ack, error), async bool) {
	b.builder.Append(rec)
	b.callbacks = append(b.callbacks, done)
	b.bytes += size
	b.async = b.async || async
}

// resolved batches only wait for earlier ones.
func (b *recordBatch) resolved() bool { return b.state == acked || b.state == failed }

// outcome is what is known of a batch that fails now.
func (b *recordBatch) outcome() Outcome {
	if b.pending || b.doubtful {
		return Unknown
	}
	return NotDone
}

// reusable tells whether nobody can read the batch's bytes any more: it was
// sent once and that was answered, so they were read to the end. A transport
// that broke may go on reading what it was given.
func (b *recordBatch) reusable() bool { return b.state == acked && b.sends == 1 }

// Builders are kept by how much memory they hold, so that a partition with
// small batches does not sit on a buffer that another one filled.
const (
	smallestClass = 4 << 10
	classShift    = 3 // each class is 8 times the one before
	classes       = 4 // 4 KiB, 32 KiB, 256 KiB, 2 MiB and more
)

// batchPool keeps batches for reuse. It is a producer's own, for the sake of
// synctest, and sync.Pool bounds it: what two collections in a row do not find
// in use is freed, so an idle producer holds no buffers.
type batchPool struct {
	pools [classes]sync.Pool
}

func class(size int) int {
	c := 0
	for limit := smallestClass; c < classes-1 && size > limit; c++ {
		limit <<= classShift
	}
	return c
}

// get returns an empty batch with room for about size bytes.
func (p *batchPool) get(size, records int) *recordBatch {
	b, _ := p.pools[class(size)].Get().(*recordBatch)
	if b == nil {
		b = &recordBatch{callbacks: make([]func(Ack, error), 0, records), capacity: size}
		b.builder.Grow(size)
	}
	return b
}

// put takes a batch back that is reusable and resolved.
func (p *batchPool) put(b *recordBatch) {
	builder, callbacks, capacity := b.builder, b.callbacks, b.capacity
	builder.Reset()
	clear(callbacks)
	*b = recordBatch{builder: builder, callbacks: callbacks[:0], capacity: capacity}
	p.pools[class(capacity)].Put(b)
}
