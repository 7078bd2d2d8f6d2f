package e2e

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/tests/internal/history"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// load is producers that send without a pause, and what they were told.
type load struct {
	history   *history.History
	producers []*producer.Producer
	senders   sync.WaitGroup
	cancel    context.CancelFunc
}

// The load is bounded by time and not by what the machine can do: about 45,000
// records/s from three producers.
const (
	loadBurst = 30
	loadPause = 2 * time.Millisecond
)

// startLoad starts producers that send records of random sizes to random
// partitions until stop. Each has other settings, so that batches of all sizes
// are in flight; more holds for all.
func startLoad(t *testing.T, a *process.Agent, topic string, partitions uint32, seed uint64, more ...producer.Option) *load {
	t.Helper()
	l := &load{history: history.New()}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	t.Cleanup(cancel)
	settings := [][]producer.Option{
		{producer.WithBatchRecords(10)},
		{producer.WithBatchRecords(100), producer.WithCompression(producer.Zstd), producer.WithLinger(5 * time.Millisecond)},
		{producer.WithBatchRecords(1000), producer.WithMaxInFlight(4), producer.WithConnections(2)},
	}
	for i, opts := range settings {
		// A bound far below the default: while the agent is down, senders wait.
		opts = append(append(opts, producer.WithMaxBufferedRecords(5000)), more...)
		p := newProducer(t, a, topic, opts...)
		l.producers = append(l.producers, p)
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		l.senders.Go(func() {
			for ctx.Err() == nil {
				l.burst(p, rng, uint32(i), partitions)
				time.Sleep(loadPause)
			}
		})
	}
	return l
}

func (l *load) burst(p *producer.Producer, rng *rand.Rand, name, partitions uint32) {
	for range loadBurst {
		id := l.history.Send(name, rng.Uint32N(partitions))
		p.SendAsync(context.Background(), producer.Record{
			Partition: int32(id.Partition), Value: id.Value(history.MinValue + rng.IntN(200)),
		}, l.history.Callback(id))
	}
}

// stop ends the load and waits until every record is resolved.
func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.senders.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i, p := range l.producers {
		if err := p.Close(ctx); err != nil {
			t.Errorf("close producer %d: %v", i, err)
		}
	}
}

// more waits until n more records were acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	from := l.history.Counts().Acked
	eventually(t, "more acknowledgements", func() bool { return l.history.Counts().Acked >= from+n })
}
