package producertest_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

const topic = "orders"

// start makes a producer of a cluster. It chooses no partitions by itself and
// sends each record alone.
func start(t *testing.T, c *producertest.Cluster, opts ...producer.Option) *producer.Producer {
	t.Helper()
	base := []producer.Option{
		producer.WithDialOptions(c.Dialer()), producer.WithTopic(topic), producer.WithPartitioner(producer.Manual()),
		producer.WithLinger(0), producer.WithBatchRecords(1),
	}
	p, err := producer.New(t.Context(), c.Target(), append(base, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(t.Context()) }) // tests look at errors where they matter
	return p
}

// send sends one record to a partition and returns its offset.
func send(t *testing.T, p *producer.Producer, partition int32, value string) uint64 {
	t.Helper()
	ack, err := p.Send(t.Context(), producer.Record{Value: []byte(value), Partition: partition})
	if err != nil {
		t.Fatalf("send %q: %v", value, err)
	}
	return ack.Offset
}

func check(t *testing.T, c *producertest.Cluster, partition int, want ...string) {
	t.Helper()
	records := c.Records(topic, partition)
	if len(records) != len(want) {
		t.Fatalf("partition %d holds %d records, want %d", partition, len(records), len(want))
	}
	for i, r := range records {
		if r.Offset != uint64(i) || string(r.Value) != want[i] {
			t.Errorf("record %d is %q at offset %d, want %q", i, r.Value, r.Offset, want[i])
		}
	}
}

// Every fault that a reply can be does what it says, once, and a producer gets
// over it: each record is there once, after as long as that fault takes.
func TestReplies(t *testing.T) {
	for name, c := range map[string]struct {
		reply producertest.Reply
		took  time.Duration
		tries int64
	}{
		"proceed":          {producertest.Proceed(), 0, 1},
		"delay":            {producertest.Delay(3 * time.Second), 3 * time.Second, 1},
		"refuse":           {producertest.Refuse(reason.Fenced), 0, 2},
		"overload":         {producertest.Overload(7 * time.Second), 7 * time.Second, 2},
		"lose the answer":  {producertest.LoseAnswer(), 5 * time.Second, 2},
		"black hole":       {producertest.BlackHole(), 5 * time.Second, 2},
		"hang":             {producertest.Delay(time.Hour), 5 * time.Second, 2},
		"break":            {producertest.Break(14, "away"), 0, 2},
		"reset":            {producertest.Reset(), 0, 2},
		"reset afterwards": {producertest.Reply{Append: true, Reset: true}, 0, 2},
		"fail afterwards":  {producertest.Reply{Append: true, Err: reason.New(reason.Fenced, "fenced")}, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := producertest.New(t, producertest.Topic(topic, 1))
				p := start(t, cluster, producer.WithRequestTimeout(5*time.Second))
				send(t, p, 0, "first")
				var tries atomic.Int64
				cluster.Script(func(a *producertest.Attempt) producertest.Reply {
					if tries.Add(1); a.Try == 1 {
						return c.reply
					}
					return producertest.Proceed()
				})
				began := time.Now()
				if offset := send(t, p, 0, "second"); offset != 1 {
					t.Errorf("acknowledged at offset %d", offset)
				}
				// The first reconnection of gRPC waits up to a second or so.
				if took := time.Since(began); took < c.took || took > c.took+2*time.Second {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if tries.Load() != c.tries {
					t.Errorf("%d tries, want %d", tries.Load(), c.tries)
				}
				check(t, cluster, 0, "first", "second")
			})
		})
	}
}

// What a script is told of an attempt is true.
func TestAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := producertest.New(t, producertest.Agents("x", "y"), producertest.Topic(topic, 2))
		var seen []string
		cluster.Script(func(a *producertest.Attempt) producertest.Reply {
			seen = append(seen, fmt.Sprintf("%s %d.%d %s/%d try %d: %s", a.Agent, a.Stream, a.Number, a.Topic, a.Partition, a.Try, a.Records()[0].Value))
			if len(seen) == 3 {
				return producertest.Refuse(reason.StorageFailed)
			}
			return producertest.Proceed()
		})
		p := start(t, cluster)
		send(t, p, 0, "a")
		send(t, p, 1, "b")
		send(t, p, 0, "c")
		want := []string{"x 1.1 orders/0 try 1: a", "y 2.1 orders/1 try 1: b", "x 1.2 orders/0 try 1: c", "x 1.3 orders/0 try 2: c"}
		if fmt.Sprint(seen) != fmt.Sprint(want) {
			t.Errorf("saw  %q\nwant %q", seen, want)
		}
		if got := cluster.Counts(); got.Streams != 2 || got.Described == 0 || got.Dials < 2 {
			t.Errorf("counts are %+v", got)
		}
	})
}

// A drained agent answers what it took, and its partitions go on elsewhere,
// with what was known of their producers.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := producertest.New(t, producertest.Agents("a", "b"))
		cluster.CreateTopic(topic, "a")
		p := start(t, cluster)
		send(t, p, 0, "first")
		var agents []string
		cluster.Script(func(a *producertest.Attempt) producertest.Reply {
			agents = append(agents, a.Agent)
			return producertest.Reply{}
		})
		cluster.Drain("a")
		began := time.Now()
		if offset := send(t, p, 0, "second"); offset != 1 {
			t.Errorf("acknowledged at offset %d", offset)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
		if fmt.Sprint(agents) != "[b]" {
			t.Errorf("sent to %v", agents)
		}
		check(t, cluster, 0, "first", "second")
		cluster.Start("a")
		cluster.Move(topic, 0, "a")
		send(t, p, 0, "third")
		check(t, cluster, 0, "first", "second", "third")
	})
}

// Drain waits for what an agent is busy with.
func TestDrainWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := producertest.New(t, producertest.Agents("a", "b"))
		cluster.CreateTopic(topic, "a")
		p := start(t, cluster)
		cluster.Script(func(a *producertest.Attempt) producertest.Reply {
			if a.Agent == "a" {
				return producertest.Delay(3 * time.Second)
			}
			return producertest.Proceed()
		})
		p.SendAsync(t.Context(), producer.Record{Value: []byte("x")}, nil)
		synctest.Wait()
		began := time.Now()
		cluster.Drain("a")
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("drained after %v", took)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(t, cluster, 0, "x")
	})
}

// Nothing gets through to an isolated agent, on connections old or new, and
// nothing is closed; when it is back, what was on its way arrives.
func TestIsolate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := producertest.New(t, producertest.Topic(topic, 1))
		old := start(t, cluster)
		send(t, old, 0, "first")
		cluster.Isolate("a")
		cluster.Isolate("a") // again is no harm
		old.SendAsync(t.Context(), producer.Record{Value: []byte("second")}, nil)
		time.Sleep(5 * time.Second) // pings would end it after 15 s
		check(t, cluster, 0, "first")
		if streams := cluster.Counts().Streams; streams != 1 {
			t.Errorf("%d streams: the connection did not stay", streams)
		}
		late := start(t, cluster, producer.WithDeliveryTimeout(5*time.Second), producer.WithDialTimeout(time.Second))
		if _, err := late.Send(t.Context(), producer.Record{Value: []byte("lost")}); !errors.Is(err, producer.ErrDeliveryTimeout) {
			t.Errorf("a new connection: %v", err)
		}
		cluster.Rejoin("a")
		synctest.Wait()
		check(t, cluster, 0, "first", "second")
		if err := old.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A connection that died in the network says nothing to its client, whatever
// the agent does; a new one works.
func TestDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := producertest.New(t, producertest.Topic(topic, 1))
		p := start(t, cluster)
		send(t, p, 0, "first")
		cluster.Disconnect("a")
		cluster.Kill("a")
		cluster.Start("a")
		old, fresh := make(chan error, 1), start(t, cluster)
		p.SendAsync(t.Context(), producer.Record{Value: []byte("lost")}, func(_ producer.Ack, err error) { old <- err })
		send(t, fresh, 0, "second")
		synctest.Wait()
		if len(old) != 0 {
			t.Errorf("the old connection works: %v", <-old)
		}
		check(t, cluster, 0, "first", "second")
	})
}

// Partitions tell their owner's zone.
func TestZones(t *testing.T) {
	cluster := producertest.New(t, producertest.Agents("a", "b"), producertest.Topic(topic, 2))
	cluster.SetZone("b", "eu-2")
	conn, err := grpc.NewClient(cluster.Target(), cluster.Dialer(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	d, err := streamhousev1.NewTopicServiceClient(conn).DescribeTopic(t.Context(), &streamhousev1.DescribeTopicRequest{Name: topic})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := d.GetPartitions()[0].GetZone(), d.GetPartitions()[1].GetZone(); a != "" || b != "eu-2" {
		t.Errorf("zones are %q and %q", a, b)
	}
}

// A killed agent refuses connections; another on its name takes up its
// partitions, and knows the producers.
func TestKillAndStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := producertest.New(t, producertest.Topic(topic, 1))
		p := start(t, cluster)
		send(t, p, 0, "first")
		cluster.Isolate("a") // which holds up nobody who ends it
		cluster.Kill("a")
		p.SendAsync(t.Context(), producer.Record{Value: []byte("second")}, nil)
		time.Sleep(10 * time.Second)
		check(t, cluster, 0, "first")
		cluster.Start("a")
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(t, cluster, 0, "first", "second")
	})
}

// Mistakes of a test are told at once, by name.
func TestMistakes(t *testing.T) {
	cluster := producertest.New(t, producertest.Topic(topic, 2))
	for name, do := range map[string]func(){
		"no such topic":     func() { cluster.Records("none", 0) },
		"no such partition": func() { cluster.Move(topic, 2, "a") },
		"no such agent":     func() { cluster.Drain("b") },
		"runs already":      func() { cluster.Start("a") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it did not panic")
				}
			}()
			do()
		})
	}
}
