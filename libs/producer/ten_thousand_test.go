package producer_test

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
)

// TestTenThousandGoroutines has 10,000 goroutines send and wait, all at once,
// to agents that stand still until all of them have come, with room for a
// fortieth of what they send. What is buffered keeps to its limit, memory grows
// by no more than that limit and a little for each that waits, and each record
// is acknowledged once, at the offset where it is.
func TestTenThousandGoroutines(t *testing.T) {
	const (
		goroutines = 10_000
		size       = 4000
		limit      = 1 << 20
	)
	cluster := producertest.New(t, producertest.Agents("a", "b"), producertest.Topic(topic, 8))
	open := make(chan struct{})
	cluster.Script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Wait: open} })
	p, err := producer.New(t.Context(), cluster.Target(), producer.WithDialOptions(cluster.Dialer()), producer.WithTopic(topic),
		producer.WithMaxBufferedBytes(limit), producer.WithBatchBytes(64<<10), producer.WithLinger(time.Millisecond),
		producer.WithCompression(producer.NoCompression), producer.WithDeliveryTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	before := liveHeap()
	acks := make([]producer.Ack, goroutines)
	value := make([]byte, size) // nobody changes it
	var begun atomic.Int64
	var senders sync.WaitGroup
	for n := range goroutines {
		senders.Go(func() {
			begun.Add(1)
			var err error
			if acks[n], err = p.Send(t.Context(), producer.Record{Key: strconv.AppendInt(nil, int64(n), 10), Value: value}); err != nil {
				t.Errorf("record %d: %v", n, err)
			}
		})
	}
	for begun.Load() < goroutines {
		time.Sleep(time.Millisecond)
	}
	if records, bytes := settled(p); bytes > limit || bytes < limit/2 {
		t.Errorf("%d records with %d bytes are buffered, and the limit is %d", records, bytes, limit)
	}
	// Each one that waits may cost 2 KB beside its stack. The rest is what is
	// buffered: batches that fill, those in flight, and what the agents, which
	// are in this process, were sent of it.
	if grown := liveHeap() - before; grown > goroutines*2000+8*limit {
		t.Errorf("memory grew by %d bytes", grown)
	}
	close(open)
	senders.Wait()
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkKeys(t, cluster, acks)
}

// settled returns what is buffered once that has not changed for a while.
func settled(p *producer.Producer) (records, bytes int) {
	for last := -1; bytes != last; {
		last = bytes
		time.Sleep(50 * time.Millisecond)
		records, bytes = producer.Buffered(p)
	}
	return records, bytes
}

// liveHeap is what is reachable, without stacks.
func liveHeap() int {
	for range 2 { // pools keep what one collection finds
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// checkKeys checks that the record with key n is where acks[n] says, and that
// there are no others.
func checkKeys(t *testing.T, cluster *producertest.Cluster, acks []producer.Ack) {
	t.Helper()
	logs, total := map[uint32][]producertest.Record{}, 0
	for partition := range uint32(8) {
		logs[partition] = cluster.Records(topic, int(partition))
		total += len(logs[partition])
	}
	if total != len(acks) {
		t.Errorf("%d records in the log, want %d", total, len(acks))
	}
	for n, ack := range acks {
		log := logs[ack.Partition]
		if ack.Offset >= uint64(len(log)) || string(log[ack.Offset].Key) != strconv.Itoa(n) {
			t.Fatalf("record %d is not at %+v", n, ack)
		}
	}
}
