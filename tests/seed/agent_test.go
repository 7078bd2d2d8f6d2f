package seed

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/batch"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent"
)

const topic = "orders"

// running is a real agent in this process, on a folder of its own and a real
// socket, and connections to it.
type running struct {
	testing.TB
	addr     string
	topics   streamhousev1.TopicServiceClient
	producer streamhousev1.ProducerServiceClient
	consumer streamhousev1.ConsumerServiceClient
	topicID  uint32
}

// start runs an agent with a topic until the test ends.
func start(tb testing.TB, partitions uint32) *running {
	tb.Helper()
	a, err := agent.New(agent.Config{
		Name:      "seed",
		Listeners: []agent.Listener{{Name: "internal", Address: "127.0.0.1:0"}},
		Store:     agent.StoreConfig{Dir: tb.TempDir()},
		Flush:     agent.FlushConfig{Age: 10 * time.Millisecond, MaxPerSecond: agent.NoCeiling},
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Errorf("agent: %v", err)
		}
	})
	<-a.Ready()
	r := &running{TB: tb, addr: a.Addr("internal")}
	r.connect(partitions)
	return r
}

func (r *running) connect(partitions uint32) {
	r.Helper()
	conn, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = conn.Close() })
	r.topics = streamhousev1.NewTopicServiceClient(conn)
	r.producer = streamhousev1.NewProducerServiceClient(conn)
	r.consumer = streamhousev1.NewConsumerServiceClient(conn)
	made, err := r.topics.CreateTopic(r.Context(), &streamhousev1.CreateTopicRequest{Name: topic, PartitionCount: partitions})
	if err != nil {
		r.Fatal(err)
	}
	r.topicID = made.GetTopic().GetId()
}

// client makes a producer that chooses no partitions by itself.
func (r *running) client(opts ...producer.Option) *producer.Producer {
	r.Helper()
	base := []producer.Option{producer.WithTopic(topic), producer.WithPartitioner(producer.Manual()), producer.WithLinger(time.Millisecond)}
	p, err := producer.New(r.Context(), r.addr, append(base, opts...)...)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.Close(ctx) // a test that cares has closed it
	})
	return p
}

// stored is a batch as the agent stored it, and its records.
type stored struct {
	batch.Header
	base    uint64
	records []string // key=value
}

// read reads all of a partition. Offsets must count from 0 without gaps.
func (r *running) read(partition uint32) []stored {
	r.Helper()
	var all []stored
	for next := uint64(0); ; {
		page, err := r.consumer.Fetch(r.Context(), &streamhousev1.FetchRequest{Topic: topic, Partition: partition, Offset: next})
		if err != nil {
			r.Fatal(err)
		}
		if next == page.GetEndOffset() {
			return all
		}
		for _, b := range page.GetBatches() {
			if b.GetBaseOffset() != next {
				r.Fatalf("partition %d goes on at offset %d after %d", partition, b.GetBaseOffset(), next)
			}
			s := stored{base: next}
			var d batch.Decoder
			if s.Header, err = d.Reset(b.GetBatch()); err != nil {
				r.Fatal(err)
			}
			for rec := (batch.Record{}); d.Next(&rec); next++ {
				s.records = append(s.records, string(rec.Key)+"="+string(rec.Value))
			}
			all = append(all, s)
		}
	}
}

// records reads all of a partition, record by record.
func (r *running) records(partition uint32) []string {
	r.Helper()
	var all []string
	for _, s := range r.read(partition) {
		all = append(all, s.records...)
	}
	return all
}
