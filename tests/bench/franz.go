package main

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// franzClient sends with franz-go. Its records are pooled, which its API leaves
// to the application.
type franzClient struct {
	*kgo.Client
	records sync.Pool
	promise func(*kgo.Record, error)
}

func newFranz(_ context.Context, j *job, done func(error)) (client, error) {
	// A record takes 10 bytes or so beside its value: batches close by size.
	batchBytes := int32(batchRecords * (j.Size + 10))
	c, err := kgo.NewClient(kgo.SeedBrokers(j.Addr), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(batchBytes), kgo.ProducerLinger(linger),
		kgo.MaxBufferedRecords(bufferedRecords), kgo.MaxBufferedBytes(bufferedBytes))
	if err != nil {
		return nil, err
	}
	f := &franzClient{Client: c}
	f.records.New = func() any { return new(kgo.Record) }
	f.promise = func(r *kgo.Record, err error) {
		*r = kgo.Record{}
		f.records.Put(r)
		done(err)
	}
	return f, nil
}

func (c *franzClient) async(ctx context.Context, value []byte) {
	r := c.records.Get().(*kgo.Record)
	r.Value = value
	c.Produce(ctx, r, c.promise)
}

func (c *franzClient) wait(ctx context.Context, value []byte) error {
	return c.ProduceSync(ctx, kgo.SliceRecord(value)).FirstErr()
}

func (c *franzClient) flush(ctx context.Context) error { return c.Flush(ctx) }

func (c *franzClient) close(context.Context) error {
	c.Close()
	return nil
}
