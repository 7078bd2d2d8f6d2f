package producer_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
)

// answersAfter makes agents take that long.
func (w *world) answersAfter(d time.Duration) {
	w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Delay: d} })
}

// One Send after the other never waits for records that do not come.
func TestAdaptiveLingerDoesNotDelayALoneRecord(t *testing.T) {
	inWorld(t, options(producer.WithLinger(time.Second), producer.WithAdaptiveLinger()), func(w *world) {
		w.answersAfter(5 * time.Millisecond)
		for range 20 {
			if _, err := w.producer.Send(w.Context(), producer.Record{}); err != nil {
				w.Fatal(err)
			}
		}
		check(w.T, "time", now(), 100*time.Millisecond)
	})
}

// Under load a record waits for the answer to an earlier batch: batches grow
// with the answer's time, up to the linger.
func TestAdaptiveLingerGrowsBatchesUnderLoad(t *testing.T) {
	for _, c := range []struct {
		answer  time.Duration
		batches int
	}{
		{10 * time.Millisecond, 101}, // one at the start, then one for each answer
		{time.Hour, 20},              // one at the start, then one for each linger of 50 ms
	} {
		inWorld(t, options(producer.WithLinger(50*time.Millisecond), producer.WithBatchRecords(1000), producer.WithAdaptiveLinger()), func(w *world) {
			w.answersAfter(c.answer)
			for range 1000 {
				w.send(0, 0)
				time.Sleep(time.Millisecond)
			}
			synctest.Wait()
			unanswered, _ := producer.InFlight(w.producer)
			// The agent hears of a batch when it is done with the one before.
			if got := len(w.gotAttempts()) + max(0, unanswered-1); got < c.batches-2 || got > c.batches+2 {
				w.Errorf("answers after %v: %d batches, want %d", c.answer, got, c.batches)
			}
		})
	}
}

// Without the option the linger is what it says.
func TestLingerIsFixedByDefault(t *testing.T) {
	inWorld(t, options(producer.WithLinger(time.Second)), func(w *world) {
		if _, err := w.producer.Send(w.Context(), producer.Record{}); err != nil {
			w.Fatal(err)
		}
		check(w.T, "time", now(), time.Second)
	})
}

// The buffers of partitions that are idle are given back. The bug this
// catches: each of many partitions keeps the largest buffer that it ever
// needed.
func TestBuffersOfIdlePartitionsAreFreed(t *testing.T) {
	const many, each = 100, 256 << 10
	c := producertest.New(t)
	owners := make([]string, many)
	for i := range owners {
		owners[i] = "a"
	}
	c.CreateTopic(topic, owners...)
	w := &world{T: t, cluster: c}
	p := w.newProducer(producer.WithBatchBytes(1<<20), producer.WithLinger(time.Minute))
	t.Cleanup(func() { _ = p.Close(t.Context()) })
	p.SendAsync(t.Context(), producer.Record{Value: make([]byte, each)}, nil) // what connections take
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := heap()
	value := make([]byte, each/4)
	for i := range 4 * many {
		p.SendAsync(t.Context(), producer.Record{Value: value, Partition: int32(i % many)}, nil)
	}
	if grown := heap() - before; grown < many*each {
		t.Fatalf("open batches take %d bytes: this test shows nothing", grown)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.DeleteTopic(topic) // and with it what the agent keeps
	var grown int64
	for range 100 { // the transports let go of the last messages a little later
		if grown = heap() - before; grown < many*each/10 {
			runtime.KeepAlive(p)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d bytes are kept after %d were sent", grown, many*each)
}

// heap is what is reachable; pools are emptied by two collections.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
