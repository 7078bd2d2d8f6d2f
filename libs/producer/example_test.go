package producer_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// Send a record and wait until it is durable.
func Example() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx := context.Background()
	p, err := producer.New(ctx, "localhost:9092", producer.WithTopic("orders"))
	if err != nil {
		log.Error("new producer", slog.Any("error", err))
		return
	}
	ack, err := p.Send(ctx, producer.Record{Key: []byte("customer-7"), Value: []byte(`{"total":12}`)})
	if err != nil {
		log.Error("send", slog.Any("error", err))
	} else {
		log.Info("stored", slog.Uint64("partition", uint64(ack.Partition)), slog.Uint64("offset", ack.Offset))
	}
	if err := p.Close(ctx); err != nil {
		log.Error("close", slog.Any("error", err))
	}
}

// Send many records and hear of each. The callback must not block.
func ExampleProducer_SendAsync() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var p *producer.Producer // from New
	ctx := context.Background()
	for _, line := range []string{"one", "two", "three"} {
		p.SendAsync(ctx, producer.Record{Topic: "lines", Value: []byte(line)}, func(ack producer.Ack, err error) {
			if err != nil {
				log.Error("not stored", slog.String("line", line), slog.Any("error", err))
				return
			}
			log.Info("stored", slog.String("line", line), slog.Uint64("offset", ack.Offset))
		})
	}
	if err := p.Flush(ctx); err != nil { // waits for all of them
		log.Error("flush", slog.Any("error", err))
	}
}

// Send without callbacks. Close tells whether everything arrived.
func ExampleProducer_Close() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var p *producer.Producer // from New
	ctx := context.Background()
	for range 1000 {
		p.SendAsync(ctx, producer.Record{Topic: "ticks", Value: []byte("tick")}, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		log.Error("not every tick was stored; the first failure", slog.Any("error", err))
	}
}

// Decide by what is known of a record that failed.
func ExampleOutcomeOf() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var p *producer.Producer // from New
	ctx := context.Background()
	rec := producer.Record{Topic: "payments", Value: []byte("42")}
	_, err := p.Send(ctx, rec)
	switch {
	case errors.Is(err, reason.UnknownTopic):
		log.Error("create the topic first", slog.Any("error", err))
	case producer.OutcomeOf(err) == producer.NotDone:
		log.Error("not stored: it is safe to send it again later", slog.Any("error", err))
	case producer.OutcomeOf(err) == producer.Unknown:
		log.Error("may be stored: look before sending it again", slog.Any("error", err))
	}
}

// One record at a time, as soon as possible.
func ExampleWithLinger_lowLatency() {
	p, err := producer.New(context.Background(), "localhost:9092", producer.WithLinger(0))
	_, _ = p, err
}

// As many records as possible.
func ExampleWithBatchPolicy_throughput() {
	p, err := producer.New(context.Background(), "localhost:9092",
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
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	p, err := producer.New(context.Background(), "localhost:9092", producer.WithFailWhenFull())
	if err != nil {
		log.Error("new producer", slog.Any("error", err))
		return
	}
	p.SendAsync(context.Background(), producer.Record{Topic: "metrics", Value: []byte("1")}, func(_ producer.Ack, err error) {
		if errors.Is(err, producer.ErrBufferFull) {
			log.Warn("metric dropped")
		}
	})
}

// Mutual TLS. Agents are dialled by the addresses that they advertise;
// ServerName is the name in their certificates.
func ExampleWithTLS() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	certificate, err := tls.LoadX509KeyPair("client.pem", "client-key.pem")
	if err != nil {
		log.Error("load certificate", slog.Any("error", err))
		return
	}
	p, err := producer.New(context.Background(), "dns:///agents.internal:9092",
		producer.WithTLS(&tls.Config{Certificates: []tls.Certificate{certificate}, ServerName: "streamhouse.internal", MinVersion: tls.VersionTLS13}),
		producer.WithLogger(log),
	)
	_, _ = p, err
}

// evenOdd sends records to the first two partitions in turn of their values'
// lengths.
type evenOdd struct{}

func (e evenOdd) ForTopic(string) producer.TopicPartitioner { return e }

func (evenOdd) Pick(rec producer.Record, partitions int) int {
	return len(rec.Value) % min(2, partitions)
}

// Choose partitions in your own way, or name them in the record.
func ExampleWithPartitioner() {
	ctx := context.Background()
	own, err := producer.New(ctx, "localhost:9092", producer.WithPartitioner(evenOdd{}))
	_, _ = own, err
	named, err := producer.New(ctx, "localhost:9092", producer.WithPartitioner(producer.Manual()))
	if err == nil {
		named.SendAsync(ctx, producer.Record{Topic: "orders", Partition: 3, Value: []byte("here")}, nil)
	}
}
