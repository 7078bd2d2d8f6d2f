package producer

import (
	"sync"
	"sync/atomic"

	"github.com/streamhouse/streamhouse/libs/producer/internal/fifo"
)

// link sends the batches of some partitions to one agent, one stream at a time,
// on a connection that it has alone if it can. Its goroutine runs while there
// is something to send or in flight, and for a while after.
type link struct {
	p     *Producer
	agent *agent
	slot  int // which of WithConnections
	users int // partitions; links.mu guards it

	down atomic.Bool // mu.lastErr is set, for those who do not lock

	wake chan struct{} // capacity 1: look at the run queue again
	mu   struct {
		sync.Mutex
		running bool
		runq    fifo.Queue[*partition]
		stream  *stream // while it runs
		lastErr error   // why there is no stream; nil while there is one
	}

	gauges gauges
	odd    logGate

	// What follows belongs to the goroutine.
	conn     *PooledConn // while there is a stream
	solo     int         // batches still to be sent one at a time, to find the one that ends streams
	silences int         // streams that fell silent since one last answered
	probing  bool        // the stream is the breaker's probe
	lost     lostLog
}

// push puts a partition into the run queue. It never blocks.
func (l *link) push(pt *partition) {
	l.mu.Lock()
	l.mu.runq.Push(pt)
	start := !l.mu.running
	l.mu.running = true
	l.mu.Unlock()
	if start {
		l.p.wg.Go(func() { l.run(l.p.ctx) })
		return
	}
	l.nudge()
}

func (l *link) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// pop takes the next partition in turn, or nil.
func (l *link) pop() *partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.runq.Len() == 0 {
		return nil
	}
	return l.mu.runq.Pop()
}

// popAll takes all partitions that wait.
func (l *link) popAll() []*partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*partition, 0, l.mu.runq.Len())
	for l.mu.runq.Len() > 0 {
		all = append(all, l.mu.runq.Pop())
	}
	return all
}

// hasWork tells whether anything is to be sent here. Partitions that have moved
// to another agent since they queued up are dropped: nobody connects to a dead
// agent for their sake.
func (l *link) hasWork() bool {
	for _, pt := range l.popAll() {
		pt.requeue(l)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.runq.Len() > 0
}

func (l *link) lastError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.lastErr
}

func (l *link) setStream(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.stream = s
}

func (l *link) setLastError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.lastErr = err
	l.down.Store(err != nil)
}

func (l *link) isRunning() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.running
}

// finished ends the goroutine if there is nothing to do. What is pushed from
// then on starts another one.
func (l *link) finished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.running = l.mu.runq.Len() > 0
	if !l.mu.running {
		l.down.Store(false) // nobody tries any more, so nobody knows
	}
	return !l.mu.running
}
