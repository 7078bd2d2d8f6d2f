package flush

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
)

// maxEntries bounds the batches of one buffer, so that what is kept about very
// small batches stays below the bytes that they carry, and so that there are
// never more partitions in it than its row can name.
const maxEntries = journal.MaxCommits

// buffer gathers the batches of one flush, in the order in which they came.
// Grouping by partition is left to the list of pieces that the segment is
// written from: the bytes are copied once, from gRPC's buffers to here.
type buffer struct {
	data     []byte // its capacity never changes
	entries  []entry
	sections []section
	first    time.Time // when the first batch came

	// copies counts batches whose place is taken and whose bytes are not there
	// yet. Nothing is added once the buffer is sealed.
	copies sync.WaitGroup

	// answerBy is when waiting producers are told that the outcome is
	// unknown; zero when nobody waits. Guarded by the pipeline's lock.
	answerBy time.Time

	number  uint64   // counts the session's objects, set when sealed
	segment *written // once it stands; guarded by the pipeline's lock until it is set

	pool *pool
	refs atomic.Int32
}

// entry is one batch.
type entry struct {
	at, size uint32
	section  int
	batch    producers.Batch
	maxTime  int64
	taken    time.Duration // since the pipeline began
	waiter
	// again are retries that came while the batch was in flight.
	again []waiter
}

// waiter is a producer that waits for an answer.
type waiter struct {
	to      Answerer
	request uint64
}

// section is what a buffer holds of one partition.
type section struct {
	tenure  *Tenure
	size    uint32
	records uint32
	batches int
	maxTime int64  // set when the segment is composed
	state   []byte // the producers' state, in every Options.StateEvery-th segment
	base    uint64 // once the commit is being written
}

func (b *buffer) room(size int) bool {
	return cap(b.data)-len(b.data) >= size && len(b.entries) < maxEntries
}

// reserve takes place for a batch and returns where its bytes go.
func (b *buffer) reserve(size int) (at int, dst []byte) {
	at = len(b.data)
	b.data = b.data[:at+size]
	b.copies.Add(1)
	return at, b.data[at : at+size]
}

// retain and release count who reads the buffer's bytes: the flush itself, the
// cache of recent segments, and readers.
func (b *buffer) retain() { b.refs.Add(1) }

func (b *buffer) release() {
	if b.refs.Add(-1) == 0 {
		b.pool.put(b)
	}
}

// pool keeps buffers of the usual size for the next flush, so that a busy
// agent does not allocate and clear them again and again.
type pool struct {
	size int

	mu   sync.Mutex
	free []*buffer
	// low is the least number of free buffers since the last trim: that many
	// were not needed.
	low int
}

func newPool(size int) *pool { return &pool{size: size} }

// get returns an empty buffer for at least size bytes, with one reference.
func (p *pool) get(size int, now time.Time) *buffer {
	b := p.take(size)
	if b == nil {
		b = &buffer{data: make([]byte, 0, max(size, p.size)), pool: p}
	}
	b.first = now
	b.refs.Store(1)
	return b
}

func (p *pool) take(size int) *buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.free) - 1
	if size > p.size || last < 0 {
		return nil
	}
	b := p.free[last]
	p.free[last] = nil
	p.free = p.free[:last]
	p.low = min(p.low, last)
	return b
}

// put takes back a buffer that nobody reads any more. One of an unusual size
// is left to the garbage collector.
func (p *pool) put(b *buffer) {
	if cap(b.data) != p.size {
		return
	}
	clear(b.entries)
	clear(b.sections)
	b.data, b.entries, b.sections = b.data[:0], b.entries[:0], b.sections[:0]
	b.segment, b.answerBy = nil, time.Time{}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, b)
}

// trim drops what was not needed since the last trim.
func (p *pool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	keep := len(p.free) - p.low
	clear(p.free[keep:])
	p.free = p.free[:keep]
	p.low = keep
}
