package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// What both clients are set to.
const (
	batchRecords    = 1000
	linger          = 10 * time.Millisecond
	bufferedRecords = 200_000
	bufferedBytes   = 64 << 20
)

func createTopic(ctx context.Context, addr string) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	_, err = streamhousev1.NewTopicServiceClient(conn).CreateTopic(ctx, &streamhousev1.CreateTopicRequest{Name: topic, PartitionCount: partitions})
	if err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	return conn.Close()
}

// streamHouseClient sends with libs/producer.
type streamHouseClient struct {
	*producer.Producer
	callback func(producer.Ack, error)
}

func newStreamHouse(ctx context.Context, j *job, done func(error)) (client, error) {
	p, err := producer.New(ctx, j.Addr, producer.WithTopic(topic), producer.WithCompression(producer.NoCompression),
		producer.WithBatchRecords(batchRecords), producer.WithBatchBytes(2<<20), producer.WithLinger(linger),
		producer.WithMaxBufferedRecords(bufferedRecords), producer.WithMaxBufferedBytes(bufferedBytes))
	if err != nil {
		return nil, err
	}
	return &streamHouseClient{Producer: p, callback: func(_ producer.Ack, err error) { done(err) }}, nil
}

func (c *streamHouseClient) async(ctx context.Context, value []byte) {
	c.SendAsync(ctx, producer.Record{Value: value}, c.callback)
}

func (c *streamHouseClient) wait(ctx context.Context, value []byte) error {
	_, err := c.Send(ctx, producer.Record{Value: value})
	return err
}

func (c *streamHouseClient) flush(ctx context.Context) error { return c.Flush(ctx) }
func (c *streamHouseClient) close(ctx context.Context) error { return c.Close(ctx) }
