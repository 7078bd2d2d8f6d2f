package producer_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
)

func keyless(opts ...producer.Option) []producer.Option {
	return append(options(producer.WithPartitioner(producer.ByKey()), producer.WithLinger(10*time.Millisecond), producer.WithBatchRecords(10)), opts...)
}

// spread gives each of the three partitions to an agent of its own.
func (w *world) spread() { w.cluster.CreateTopic(topic, "a", "b", "c") }

// trickle sends a record per millisecond, which no agent finds too much.
func (w *world) trickle(records int) {
	for n := range records {
		w.producer.SendAsync(w.Context(), producer.Record{}, w.callback(n))
		time.Sleep(time.Millisecond)
	}
}

// counts is how many records each partition holds.
func (w *world) counts() (counts [3]int) {
	for i := range counts {
		counts[i] = len(w.cluster.Records(topic, i))
	}
	return counts
}

// Records without a key avoid a partition whose agent takes long to answer, and
// are divided evenly among the others.
func TestKeylessRecordsAvoidASlowPartition(t *testing.T) {
	inWorld(t, keyless(), func(w *world) {
		w.spread()
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Agent == "b" {
				return producertest.Reply{Delay: 2 * time.Second}
			}
			return producertest.Reply{Delay: 5 * time.Millisecond}
		})
		w.trickle(20_000)
		w.flush()
		got := w.counts()
		if got[1] > 400 || got[0] < 8000 || got[2] < 8000 {
			w.Fatalf("the partitions got %v records", got)
		}
		for _, r := range w.gotResults() {
			if r.err != nil {
				w.Fatal(r.err)
			}
		}
	})
}

// While all are as fast as each other, all get as many.
func TestKeylessRecordsAreDividedEvenly(t *testing.T) {
	inWorld(t, keyless(), func(w *world) {
		w.spread()
		w.answersAfter(5 * time.Millisecond)
		w.trickle(9000)
		w.flush()
		for i, n := range w.counts() {
			if n < 2400 || n > 3600 {
				w.Fatalf("partition %d got %d of 9000", i, n)
			}
		}
	})
}

// Nothing but the batch that was open waits for an agent that is away, whether
// batches linger or not.
func TestKeylessRecordsAvoidADeadAgent(t *testing.T) {
	for _, linger := range []time.Duration{0, 10 * time.Millisecond} {
		inWorld(t, keyless(producer.WithLinger(linger), producer.WithBatchRecords(1000), producer.WithDeliveryTimeout(time.Hour)), func(w *world) {
			w.spread()
			w.trickle(100)
			w.flush()
			w.cluster.Kill("b")
			w.trickle(5000)
			time.Sleep(100 * time.Millisecond)
			if late := 5100 - len(w.gotResults()); late > 30 {
				w.Errorf("linger %v: %d records wait for an agent that is away", linger, late)
			}
			w.cluster.Start("b")
			time.Sleep(2 * time.Second)
			before := w.counts()
			w.trickle(3000)
			w.flush()
			if back := w.counts()[1] - before[1]; back < 500 {
				w.Errorf("linger %v: after it came back the partition got %d of 3000 records", linger, back)
			}
		})
	}
}

// Nobody can be reached: records still go into full batches.
func TestKeylessRecordsWhileNobodyIsThere(t *testing.T) {
	inWorld(t, keyless(), func(w *world) {
		w.spread()
		w.trickle(30)
		w.flush()
		for _, name := range agents {
			w.cluster.Kill(name)
		}
		w.trickle(1000)
		for _, name := range agents {
			w.cluster.Start(name)
		}
		start := len(w.gotAttempts())
		w.flush()
		if got := len(w.gotAttempts()) - start; got > 150 {
			w.Fatalf("1000 records went into %d batches of up to 10", got)
		}
	})
}

// Records without a key stay in the producer's zone; those with one do not
// care.
func TestZone(t *testing.T) {
	for _, c := range []struct {
		zone string
		only bool
	}{{"x", true}, {"y", false}, {"", false}} {
		inWorld(t, keyless(producer.WithZone(c.zone)), func(w *world) {
			w.spread()
			w.cluster.SetZone("b", "x")
			w.trickle(3000)
			w.flush()
			got := w.counts()
			// The first batch goes anywhere.
			if c.only && got[1] < 2990 || !c.only && (got[0] < 500 || got[1] < 500 || got[2] < 500) {
				w.Errorf("zone %q: the partitions got %v records", c.zone, got)
			}
			for n := range 300 {
				w.producer.SendAsync(w.Context(), producer.Record{Key: fmt.Append(nil, n)}, nil)
			}
			w.flush()
			if now := w.counts(); now[0]-got[0] < 50 || now[2]-got[2] < 50 {
				w.Errorf("zone %q: keyed records went to %v", c.zone, now)
			}
		})
	}
}

// The zone's only partition is not overloaded: when it is slow, others help.
func TestZoneDoesNotOverload(t *testing.T) {
	inWorld(t, keyless(producer.WithZone("x"), producer.WithBatchRecords(100)), func(w *world) {
		w.spread()
		w.cluster.SetZone("b", "x")
		release := make(chan struct{})
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Agent == "b" {
				return producertest.Reply{Wait: release}
			}
			return producertest.Reply{}
		})
		for range 20_000 { // 20 MB
			w.producer.SendAsync(w.Context(), producer.Record{Value: make([]byte, 1000)}, nil)
		}
		synctest.Wait()
		close(release)
		w.flush()
		if got := w.counts(); got[1] < 8000 || got[1] > 9000 {
			w.Fatalf("the partitions got %v records, want 8 MiB in the second", got)
		}
	})
}

// The zone is the owner's: it changes with it.
func TestZoneFollowsTheOwner(t *testing.T) {
	inWorld(t, keyless(producer.WithZone("x"), producer.WithMetadataMaxAge(time.Minute)), func(w *world) {
		w.spread()
		w.cluster.SetZone("a", "x")
		w.trickle(100)
		w.flush()
		w.cluster.SetZone("a", "y")
		w.cluster.SetZone("c", "x")
		time.Sleep(time.Minute)
		w.trickle(1000)
		w.flush()
		if got := w.counts(); got[2] < 980 {
			w.Fatalf("the partitions got %v records", got)
		}
	})
}

func TestRoundRobin(t *testing.T) {
	inWorld(t, options(producer.WithPartitioner(producer.RoundRobin())), func(w *world) {
		for n := range 9 {
			w.producer.SendAsync(w.Context(), producer.Record{Key: []byte("same"), Value: fmt.Append(nil, n)}, nil)
		}
		w.flush()
		for partition, want := range []string{"0 3 6", "1 4 7", "2 5 8"} {
			check(w.T, fmt.Sprint("partition ", partition), w.values(partition), want)
		}
	})
}

// fleet is many partitions in numbers.
type fleet []producer.PartitionState

func (fleet) Zone() string                                  { return "x" }
func (f fleet) Len() int                                    { return len(f) }
func (f fleet) State(partition int) producer.PartitionState { return f[partition] }

// A topic may have many partitions: choosing among them costs the same, and
// allocates nothing.
func TestManyPartitions(t *testing.T) {
	f := make(fleet, 10_000)
	for i := range f {
		f[i] = producer.PartitionState{Reachable: i%2 == 0, Zone: []string{"x", "y", "z"}[i%3], Backlog: i}
	}
	p := producer.ByKey().ForTopic(topic)
	p.(producer.PartitionsObserver).ObservePartitions(f)
	picked := map[int]bool{}
	bad := 0
	for range 1000 {
		i := p.Pick(producer.Record{}, len(f))
		p.(producer.BatchObserver).BatchClosed(i)
		picked[i] = true
		if i%6 != 0 {
			bad++ // not reachable, or in another zone
		}
	}
	// One in six partitions is good. Among 16 there is none in 5 % of all cases.
	if bad > 120 || len(picked) < 300 {
		t.Fatalf("%d of 1000 choices were bad; %d partitions were chosen", bad, len(picked))
	}
	rec := producer.Record{Key: []byte("k")}
	if n := testing.AllocsPerRun(1000, func() {
		p.Pick(rec, len(f))
		p.(producer.BatchObserver).BatchClosed(p.Pick(producer.Record{}, len(f)))
	}); n != 0 {
		t.Fatalf("%v allocations per record", n)
	}
}

// wrapped is a partitioner that hides from ByKey how partitions do.
type wrapped struct{ producer.TopicPartitioner }

func TestByKeyWithoutPartitions(t *testing.T) {
	w := wrapped{producer.ByKey().ForTopic(topic)}
	picked := map[int]int{}
	for range 3000 {
		i := w.Pick(producer.Record{}, 3)
		picked[i]++
		w.TopicPartitioner.(producer.BatchObserver).BatchClosed(i)
	}
	for i := range 3 {
		if picked[i] < 500 {
			t.Fatalf("picked %v", picked)
		}
	}
}
