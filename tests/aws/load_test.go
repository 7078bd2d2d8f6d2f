package aws

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/tests/internal/history"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// load is producers that send all the time, and what they were told.
type load struct {
	history   *history.History
	producers []*producer.Producer
	senders   sync.WaitGroup
	cancel    context.CancelFunc
}

// startLoad starts two producers, which send until stop.
func startLoad(t *testing.T, a *process.Agent, topic string, partitions uint32) *load {
	t.Helper()
	l := &load{history: history.New()}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	t.Cleanup(cancel)
	for name := range uint32(2) {
		p := newProducer(t, a, topic, producer.WithBatchRecords(20+100*int(name)), producer.WithMaxBufferedRecords(2000))
		l.producers = append(l.producers, p)
		l.senders.Go(func() {
			for n := uint32(0); ctx.Err() == nil; n++ {
				for range 20 {
					id := l.history.Send(name, (n+name)%partitions)
					value := id.Value(history.MinValue + int(id.Number*37%300))
					p.SendAsync(context.Background(), producer.Record{Partition: int32(id.Partition), Value: value}, l.history.Callback(id))
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return l
}

// more waits until n more records were acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	from := l.history.Counts().Acked
	eventually(t, "more acknowledgements", func() bool { return l.history.Counts().Acked >= from+n })
}

// verify ends the load, waits until every record is resolved, and reads the log
// back: each record has to be there exactly once, and none may have failed.
func (l *load) verify(t *testing.T, a *process.Agent, topic string) {
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
	c := a.Client()
	l.history.Verify(t, c.Topics, c.Consumer, topic)
	if counts := l.history.Counts(); counts.Acked != counts.Sent {
		t.Errorf("%v: no record may fail", counts)
	}
}
