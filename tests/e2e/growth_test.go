package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// place is where a record stands.
type place struct {
	partition uint32
	offset    uint64
}

// counter sends records that count up, to partitions that its partitioner
// chooses, and notes where they went.
type counter struct {
	mu     sync.Mutex
	acked  map[uint64]place
	failed []error
	sent   uint64
}

func (c *counter) send(p *producer.Producer, keyed bool) {
	n := c.sent
	c.sent++
	rec := producer.Record{Value: binary.BigEndian.AppendUint64(nil, n)}
	if keyed {
		rec.Key = fmt.Append(nil, n%97)
	}
	p.SendAsync(context.Background(), rec, func(ack producer.Ack, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.failed = append(c.failed, err)
			return
		}
		c.acked[n] = place{ack.Partition, ack.Offset}
	})
}

// reached counts the acknowledgements of each partition.
func (c *counter) reached() map[uint32]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := map[uint32]int{}
	for _, at := range c.acked {
		n[at.partition]++
	}
	return n
}

// A topic grows from 2 to 5 partitions while a producer sends to it, over two
// agents: whoever is asked knows the new ones at once, the producer finds them by
// itself, and every record stands once, where its acknowledgement says.
func TestGrowth(t *testing.T) {
	t.Parallel()
	flags := append(process.StartStore(t), noCeiling, "--session-heartbeat=300ms", "--session-lease=3s")
	agents := make([]*process.Agent, 2)
	for i := range agents {
		agents[i] = process.NewAgent(t, "", append(slices.Clone(flags), fmt.Sprint("--name=agent-", i))...)
		agents[i].Start()
	}
	clients := []*process.Client{agents[0].Client(), agents[1].Client()}
	agents[0].CreateTopic("growing", 2)
	p := newProducer(t, agents[1], "growing", producer.WithPartitioner(producer.ByKey()), producer.WithMetadataMaxAge(time.Second))
	c := &counter{acked: map[uint64]place{}}
	until := func(what string, done func() bool) {
		t.Helper()
		eventually(t, what, func() bool {
			for i := range 20 {
				c.send(p, i%2 == 0)
			}
			return done()
		})
	}
	until("the first two are used", func() bool { return len(c.reached()) == 2 })
	grow(t, clients, 5)
	until("all five are used", func() bool { return len(c.reached()) == 5 })
	total := len(c.acked)
	until("it goes on", func() bool { return len(c.reached()) == 5 && len(c.failed) == 0 && c.sent > uint64(total)+2000 })
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(c.failed) > 0 || uint64(len(c.acked)) != c.sent {
		t.Fatalf("%d of %d records are acknowledged; the first failure: %v", len(c.acked), c.sent, errors.Join(c.failed[:min(1, len(c.failed))]...))
	}
	if found := readCounted(t, clients, "growing", 5); len(found) != len(c.acked) {
		t.Errorf("%d records stand in the log, and %d are acknowledged", len(found), len(c.acked))
	} else {
		for n, at := range c.acked {
			if found[n] != at {
				t.Errorf("record %d is acknowledged at %v and stands at %v", n, at, found[n])
			}
		}
	}
}

// grow adds partitions and asks all agents for the last of them at once, by name
// and by id: that one has not heard of it is no reason to deny it.
func grow(t *testing.T, clients []*process.Client, partitions uint32) {
	t.Helper()
	grown, err := clients[0].Topics.UpdateTopic(t.Context(), &streamhousev1.UpdateTopicRequest{Name: "growing", PartitionCount: &partitions})
	if err != nil || grown.GetTopic().GetPartitionCount() != partitions {
		t.Fatalf("grown to %v, %v", grown, err)
	}
	owners := 0
	for i, c := range clients {
		_, err := c.Consumer.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "growing", Partition: partitions - 1, TopicId: new(grown.GetTopic().GetId())})
		if err == nil {
			owners++
		} else if !errors.Is(reason.From(err), reason.NotOwner) {
			t.Errorf("agent %d: %v", i, err)
		}
	}
	if owners != 1 {
		t.Errorf("%d agents answer for the last partition", owners)
	}
}

// readCounted reads all partitions, each from the agent that owns it.
func readCounted(t *testing.T, clients []*process.Client, topic string, partitions uint32) map[uint64]place {
	t.Helper()
	found := map[uint64]place{}
	for partition := range partitions {
		for offset, end := uint64(0), uint64(1); offset < end; {
			page := fetchFrom(t, clients, &streamhousev1.FetchRequest{Topic: topic, Partition: partition, Offset: offset})
			end = page.GetEndOffset()
			for _, r := range page.GetRecords() {
				n := binary.BigEndian.Uint64(r.GetRecord().GetValue())
				if before, twice := found[n]; twice {
					t.Errorf("record %d stands at %v and at %d/%d", n, before, partition, r.GetOffset())
				}
				found[n] = place{partition, r.GetOffset()}
				offset = r.GetOffset() + 1
			}
		}
	}
	return found
}

// fetchFrom asks one agent after the other until the owner is found. None may
// say that there is no such partition.
func fetchFrom(t *testing.T, clients []*process.Client, req *streamhousev1.FetchRequest) (page *streamhousev1.FetchRecordsResponse) {
	t.Helper()
	eventually(t, "an owner answers", func() bool {
		for i, c := range clients {
			answer, err := c.Consumer.FetchRecords(t.Context(), req)
			if err == nil {
				page = answer
				return true
			}
			if !errors.Is(reason.From(err), reason.NotOwner) {
				t.Fatalf("fetch from agent %d: %v", i, err)
			}
		}
		return false
	})
	return page
}
