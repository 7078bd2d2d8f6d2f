package faults

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// Two agents take partitions from each other. While the second one is slow to
// seal the first one's session, the first learns of it, starts another session,
// takes its partitions back and goes on. What the second one then finds is
// owned by a session that it has not sealed: to take that would let both
// commit at the same offsets (R4).
func TestTakeoverOnlyFromSealedSessions(t *testing.T) {
	t.Parallel()
	for shift := range 12 {
		synctest.Test(t, func(t *testing.T) {
			w := world.New(t)
			first := w.Start(commits("5ms", 12))
			w.MustCreateTopic(2)
			p := w.Producer(producer.WithLinger(5 * time.Millisecond))
			var sender sync.WaitGroup
			sender.Go(func() {
				for i := range uint32(400) {
					w.Send(p, 0, i%2)
					time.Sleep(10 * time.Millisecond)
				}
			})
			time.Sleep(500*time.Millisecond + time.Duration(shift)*7*time.Millisecond)
			w.Start(commits("50ms", 12), world.Faults("op=row-swap,first=1,kind=pause,pause=1200ms"))
			time.Sleep(time.Second)
			_ = first.Stop() // it is at some point of losing its session again
			sender.Wait()
			_ = p.Close(t.Context()) // the history has what it says
			w.Check()
		})
	}
}

// commits sets how long one takes, and how many there are in a second.
func commits(latency string, perSecond float64) world.Edit {
	return func(c *agent.Config) {
		c.Store.CommitLatency, c.Flush.MaxPerSecond = latency, perSecond
		c.Flush.Bytes, c.Buffers.Bytes = 1<<20, 8<<20 // so that no flush goes before its time
	}
}
