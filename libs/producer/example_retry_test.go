package producer_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// An application that calls an agent itself, here with the unary Produce,
// follows the retry policy with Do. The producer id and the sequence make a
// repeat harmless; every record needs its time for that.
func ExampleRetryPolicy_Do() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	conn, err := grpc.NewClient("localhost:7070", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Error("connect", slog.Any("error", err))
		return
	}
	agent := streamhousev1.NewProducerServiceClient(conn)
	id, sequence, now := rand.Uint64()|1, uint64(0), time.Now().UnixMilli()
	req := &streamhousev1.ProduceRequest{
		Topic: "orders", ProducerId: &id, Sequence: &sequence,
		Records: []*streamhousev1.Record{{Value: []byte("hello"), Timestamp: &now}},
	}
	err = producer.DefaultRetryPolicy().Do(context.Background(), func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, err := agent.Produce(ctx, req)
		return err
	})
	if err != nil {
		log.Error("produce", slog.Any("error", err))
	}
}

// What to do with a record that failed is decided by what is known of it.
func ExampleIsRetryable() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx := context.Background()
	p, err := producer.New(ctx, "localhost:7070", producer.WithTopic("orders"))
	if err != nil {
		log.Error("new producer", slog.Any("error", err))
		return
	}
	later := make(chan producer.Record, 1000)
	rec := producer.Record{Value: []byte("hello")}
	p.SendAsync(ctx, rec, func(_ producer.Ack, err error) {
		switch outcome := producer.OutcomeOf(err); {
		case outcome == producer.Done:
		case outcome == producer.NotDone && producer.IsRetryable(err):
			select {
			case later <- rec: // nothing of it is in the log
			default:
				log.Error("no room to keep a record", slog.Any("error", err))
			}
		case outcome == producer.NotDone:
			log.Error("record cannot be sent as it is", slog.Any("error", err))
		default:
			log.Warn("record may be in the log", slog.Any("error", err))
		}
	})
}
