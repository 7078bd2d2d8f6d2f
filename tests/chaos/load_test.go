package chaos

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/tests/internal/history"
)

// load is producers with default settings that send at a steady rate to all
// partitions, and what they were told.
type load struct {
	history    *history.History
	topic      string
	partitions uint32
	producers  []*producer.Producer
	senders    sync.WaitGroup
	cancel     context.CancelFunc
	// gate is held for writing while nothing is to be sent.
	gate sync.RWMutex

	mu struct {
		sync.Mutex
		acks []acks // by partition
	}
}

// acks is when a partition's records were acknowledged.
type acks struct {
	last time.Time
	// sent is when the youngest acknowledged record was sent.
	sent time.Time
	// gap is the longest time without an acknowledgement, between from and
	// last.
	gap time.Duration
}

// startLoad starts producers, each of which sends a record to each partition
// once in every interval.
func startLoad(t *testing.T, target, topic string, partitions uint32, producers int, every time.Duration, opts ...producer.Option) *load {
	t.Helper()
	l := &load{history: history.New(), topic: topic, partitions: partitions}
	l.mu.acks = make([]acks, partitions)
	l.watch()
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	opts = append([]producer.Option{producer.WithTopic(topic), producer.WithPartitioner(producer.Manual()), producer.WithLogger(logger(t))}, opts...)
	for i := range producers {
		p, err := producer.New(t.Context(), target, opts...)
		if err != nil {
			t.Fatal(err)
		}
		l.producers = append(l.producers, p)
		l.senders.Go(func() {
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			for ctx.Err() == nil {
				l.burst(p, uint32(i))
				<-ticker.C
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

// stop ends the load without waiting for anything; a second time it does nothing.
func (l *load) stop() {
	l.cancel()
	l.senders.Wait()
	gone, now := context.WithCancel(context.Background())
	now()
	for _, p := range l.producers {
		_ = p.Close(gone) // what failed was noted
	}
}

// logger writes where logs are wanted.
func logger(t *testing.T) *slog.Logger {
	t.Helper()
	if *logs == "" {
		return slog.New(slog.DiscardHandler)
	}
	file, err := os.OpenFile(filepath.Join(*logs, "producers.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return slog.New(slog.NewTextHandler(file, nil))
}

// burst sends one record to each partition.
func (l *load) burst(p *producer.Producer, name uint32) {
	l.gate.RLock()
	defer l.gate.RUnlock()
	for partition := range l.partitions {
		id := l.history.Send(name, partition)
		sent, told := time.Now(), l.history.Callback(id)
		p.SendAsync(context.Background(), producer.Record{Partition: int32(partition), Value: id.Value(history.MinValue + 8)},
			func(ack producer.Ack, err error) {
				told(ack, err)
				if err == nil {
					l.acked(partition, sent)
				}
			})
	}
}

func (l *load) acked(partition uint32, sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, now := &l.mu.acks[partition], time.Now()
	a.gap = max(a.gap, now.Sub(a.last))
	a.last = now
	if sent.After(a.sent) {
		a.sent = sent
	}
}

// watch forgets the gaps until now.
func (l *load) watch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for i := range l.mu.acks {
		l.mu.acks[i].gap, l.mu.acks[i].last = 0, now
	}
}

// gaps returns the longest time without an acknowledgement of each partition
// since watch.
func (l *load) gaps() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []time.Duration
	for i := range l.mu.acks {
		a := &l.mu.acks[i]
		all = append(all, max(a.gap, time.Since(a.last)))
	}
	return all
}

// served waits until in every partition a record was acknowledged that was sent
// after a time.
func (l *load) served(t *testing.T, after time.Time, within time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		waiting := l.unserved(after)
		if len(waiting) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("partitions %v are not served %v after the end of the round", waiting, within)
		}
	}
}

func (l *load) unserved(after time.Time) (partitions []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.mu.acks {
		if !l.mu.acks[i].sent.After(after) {
			partitions = append(partitions, i)
		}
	}
	return partitions
}

// verify lets everything be resolved while nothing is sent, and holds the log
// against what producers were told.
func (l *load) verify(t *testing.T, c *cluster) {
	t.Helper()
	l.gate.Lock()
	defer l.gate.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i, p := range l.producers {
		if err := p.Flush(ctx); err != nil {
			t.Logf("flush of producer %d: %v", i, err) // records that failed, which were noted
		}
	}
	counts := l.history.Counts()
	if counts.Pending() > 0 {
		t.Errorf("%v: all should be resolved", counts)
	}
	r := newReader(t, c)
	log := l.history.Verify(t, r, r, l.topic)
	t.Logf("%v; %d records in the log", counts, log.Records())
}

// failed counts the records that failed.
func (l *load) failed() int {
	counts := l.history.Counts()
	return counts.Unknown + counts.NotDone
}
