package producer_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// Send a record and wait until it is durable.
func Example() {
	address, stop := startAgent()
	defer stop()

	ctx := context.Background()
	p, err := producer.New(ctx, address, producer.WithTopic("orders"))
	if err != nil {
		fmt.Println(err)
		return
	}
	ack, err := p.Send(ctx, producer.Record{Key: []byte("customer-7"), Value: []byte(`{"total":12}`)})
	if err != nil {
		fmt.Println(err)
	} else {
		fmt.Printf("durable in partition %d at offset %d\n", ack.Partition, ack.Offset)
	}
	if err := p.Close(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: durable in partition 7 at offset 0
}

// Send many records and hear of each. The callback must not block.
func ExampleProducer_SendAsync() {
	address, stop := startAgent()
	defer stop()

	ctx := context.Background()
	p, err := producer.New(ctx, address, producer.WithTopic("lines"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, line := range []string{"one", "two", "three"} {
		p.SendAsync(ctx, producer.Record{Key: []byte("a file"), Value: []byte(line)}, func(ack producer.Ack, err error) {
			if err != nil {
				fmt.Println(line, err)
				return
			}
			fmt.Println(line, "at offset", ack.Offset)
		})
	}
	if err := p.Flush(ctx); err != nil { // waits for all of them
		fmt.Println(err)
	}
	if err := p.Close(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// one at offset 0
	// two at offset 1
	// three at offset 2
}

// Send without callbacks, and flush on shutdown. Close tells whether everything
// arrived.
func ExampleProducer_Close() {
	address, stop := startAgent()
	defer stop()

	ctx := context.Background()
	p, err := producer.New(ctx, address, producer.WithTopic("ticks"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 1000 {
		p.SendAsync(ctx, producer.Record{Value: []byte("tick")}, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		fmt.Println("not every tick was stored; the first failure:", err)
		return
	}
	fmt.Println("every tick was stored")
	// Output: every tick was stored
}

// Records with the same key go to the same partition, and so keep their order.
func ExampleByKey() {
	address, stop := startAgent()
	defer stop()

	ctx := context.Background()
	p, err := producer.New(ctx, address, producer.WithTopic("orders"), producer.WithLinger(0))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close(ctx) }() // every record was waited for
	for _, step := range []string{"placed", "paid", "shipped"} {
		ack, err := p.Send(ctx, producer.Record{Key: []byte("order-4711"), Value: []byte(step)})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: partition %d, offset %d\n", step, ack.Partition, ack.Offset)
	}
	// Output:
	// placed: partition 11, offset 0
	// paid: partition 11, offset 1
	// shipped: partition 11, offset 2
}

// Headers annotate a record; a key without a value is a tombstone.
func ExampleRecord() {
	address, stop := startAgent()
	defer stop()

	ctx := context.Background()
	p, err := producer.New(ctx, address, producer.WithTopic("profiles"))
	if err != nil {
		fmt.Println(err)
		return
	}
	p.SendAsync(ctx, producer.Record{
		Key:       []byte("user-1"),
		Value:     []byte(`{"name":"Ada"}`),
		Headers:   []producer.Header{{Key: "content-type", Value: []byte("application/json")}},
		Timestamp: time.Now(),
	}, nil)
	p.SendAsync(ctx, producer.Record{Key: []byte("user-2")}, nil)
	fmt.Println(p.Close(ctx))
	// Output: <nil>
}

// Decide by what is known of a record that failed.
func ExampleOutcomeOf() {
	address, stop := startAgent()
	defer stop()

	ctx := context.Background()
	p, err := producer.New(ctx, address, producer.WithTopic("payments"), producer.WithMaxBufferedBytes(1<<20))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close(ctx) }() // the record was waited for
	_, err = p.Send(ctx, producer.Record{Value: make([]byte, 2<<20)})
	switch {
	case errors.Is(err, reason.UnknownTopic):
		fmt.Println("create the topic first")
	case producer.OutcomeOf(err) == producer.NotDone:
		fmt.Println("not stored, and safe to send again")
	case producer.OutcomeOf(err) == producer.Unknown:
		fmt.Println("may be stored: look before sending it again")
	}
	// Output: not stored, and safe to send again
}

// One record at a time, as soon as possible.
func ExampleWithLinger_lowLatency() {
	p, err := producer.New(context.Background(), "localhost:7070", producer.WithLinger(0))
	_, _ = p, err
}

// As many records as possible.
func ExampleWithBatchPolicy_throughput() {
	p, err := producer.New(context.Background(), "localhost:7070",
		producer.WithBatchPolicy(producer.HighThroughputBatchPolicy()),
		producer.WithMaxBufferedBytes(256<<20),
		producer.WithConnections(2),
	)
	_, _ = p, err
}

// Batches of one's own making, sent by the unary call.
func ExampleBatchManager() {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var client streamhousev1.ProducerServiceClient // of a connection to the owner
	m, err := producer.NewBatchManager(producer.DefaultBatchPolicy())
	if err != nil {
		log.Error("new batch manager", slog.Any("error", err))
		return
	}
	producerID := rand.Uint64() | 1 // one for this run: a repeat is then recognised
	send := func(batches []*producer.Batch) {
		for _, b := range batches {
			if _, err := client.Produce(ctx, b.Request(producerID)); err != nil {
				log.Error("produce", slog.Uint64("sequence", b.Sequence), slog.Any("error", err))
			}
		}
	}
	for n := range 1000 {
		full, err := m.Append("orders", uint32(n%3), producer.Record{Value: []byte("order")})
		if err != nil {
			log.Error("append", slog.Any("error", err))
		}
		send(full)
		send(m.ReadyBatches())
	}
	send(m.FlushAll())
}

// Records without a key stay in the zone; traffic between zones is slower and
// has its price.
func ExampleWithZone() {
	p, err := producer.New(context.Background(), "10.0.1.5:9092,10.0.2.5:9092", producer.WithZone("eu-central-1a"))
	_, _ = p, err
}

// Never wait for room: drop instead, and know it.
func ExampleWithFailWhenFull() {
	var dropped atomic.Int64
	p, err := producer.New(context.Background(), "localhost:7070", producer.WithFailWhenFull())
	if err != nil {
		fmt.Println(err)
		return
	}
	p.SendAsync(context.Background(), producer.Record{Topic: "metrics", Value: []byte("1")}, func(_ producer.Ack, err error) {
		if errors.Is(err, producer.ErrBufferFull) {
			dropped.Add(1)
		}
	})
}

// Mutual TLS. Agents are dialled by the addresses that they advertise;
// ServerName is the name in their certificates.
func ExampleWithTLS() {
	certificate, err := tls.LoadX509KeyPair("client.pem", "client-key.pem")
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := producer.New(context.Background(), "dns:///agents.internal:9092", producer.WithTLS(&tls.Config{
		Certificates: []tls.Certificate{certificate},
		ServerName:   "streamhouse.internal",
		MinVersion:   tls.VersionTLS13,
	}))
	_, _ = p, err
}

// Hear of what the library mends by itself.
func ExampleWithLogger() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	p, err := producer.New(context.Background(), "localhost:7070", producer.WithLogger(log.With(slog.String("component", "producer"))))
	_, _ = p, err
}

// Try longer, and more patiently, before a record fails.
func ExampleWithRetryPolicy() {
	policy := producer.DefaultRetryPolicy()
	policy.MaxRetries = 20
	p, err := producer.New(context.Background(), "localhost:7070",
		producer.WithRetryPolicy(policy), producer.WithDeliveryTimeout(10*time.Minute))
	_, _ = p, err
}

// evenOdd sends records to the first two partitions in turn of their values'
// lengths.
type evenOdd struct{}

func (e evenOdd) ForTopic(string) producer.TopicPartitioner { return e }

func (evenOdd) Pick(rec producer.Record, partitions int) int {
	return len(rec.Value) % min(2, partitions)
}

// Choose partitions in your own way.
func ExampleWithPartitioner() {
	p, err := producer.New(context.Background(), "localhost:7070", producer.WithPartitioner(evenOdd{}))
	_, _ = p, err
}

// Name the partition in the record.
func ExampleManual() {
	address, stop := startAgent()
	defer stop()

	ctx := context.Background()
	p, err := producer.New(ctx, address, producer.WithPartitioner(producer.Manual()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close(ctx) }() // the record was waited for
	ack, err := p.Send(ctx, producer.Record{Topic: "orders", Partition: 3, Value: []byte("here")})
	fmt.Println(ack.Partition, err)
	// Output: 3 <nil>
}

// batchCounter counts batches and what they hold. It implements two of the
// Hook interfaces.
type batchCounter struct{ batches, records, retries atomic.Int64 }

func (c *batchCounter) OnBatchDone(e producer.BatchDoneEvent) {
	c.batches.Add(1)
	c.records.Add(int64(e.Records))
}

func (c *batchCounter) OnRetry(producer.RetryEvent) { c.retries.Add(1) }

// Metrics of your own. For Prometheus and OpenTelemetry there are adapters.
func ExampleWithHooks() {
	address, stop := startAgent()
	defer stop()

	ctx := context.Background()
	counter := &batchCounter{}
	p, err := producer.New(ctx, address, producer.WithTopic("orders"), producer.WithHooks(counter),
		producer.WithBatchRecords(50), producer.WithLinger(time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 100 {
		p.SendAsync(ctx, producer.Record{Key: []byte("same")}, nil)
	}
	if err := p.Close(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(counter.records.Load(), "records in", counter.batches.Load(), "batches,", counter.retries.Load(), "retries")
	// Output: 100 records in 2 batches, 0 retries
}

// Look at what a producer holds, for a health check.
func ExampleProducer_Stats() {
	p, err := producer.New(context.Background(), "localhost:7070", producer.WithMaxBufferedBytes(32<<20))
	if err != nil {
		fmt.Println(err)
		return
	}
	s := p.Stats()
	fmt.Printf("%d of %d bytes are buffered, %d records wait for room\n", s.BufferedBytes, s.MaxBufferedBytes, s.Waiting)
	fmt.Println(p.Close(context.Background()))
	// Output:
	// 0 of 33554432 bytes are buffered, 0 records wait for room
	// <nil>
}
