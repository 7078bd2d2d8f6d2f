// Package demo shows a whole StreamHouse at work: an agent, a producer and
// readers over TCP, and a check that every record arrived.
package demo

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/histogram"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/progress"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/reader"
	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/cost"
)

// Options say how large the demo is.
type Options struct {
	// Records is how many, Size their key and value together in bytes.
	Records int
	Size    int
	// Partitions is the topic's number of them.
	Partitions int
	// Prices are those of the agent's requests.
	Prices cost.Prices
}

const (
	// maxRecords keeps the list of acknowledgements below 8 GiB.
	maxRecords = 1 << 30
	// maxSize is what is sure to fit a batch.
	maxSize       = 8 << 20
	maxPartitions = 10_000
	topic         = "demo"
	// bufferBytes is how far the producer may run ahead of the agent. More
	// would only make the acknowledgements wait longer in the queue.
	bufferBytes  = 16 << 20
	batchRecords = 1000
	// probeEvery is how many records share one measured latency.
	probeEvery   = 16
	readers      = 8
	patience     = 30 * time.Second
	longestDrain = 2 * time.Minute
)

// Validate tells what is wrong.
func (o *Options) Validate() error {
	switch {
	case o.Records < 1 || o.Records > maxRecords:
		return fmt.Errorf("--records is %d: it must be from 1 to %d", o.Records, maxRecords)
	case o.Size < MinRecordSize || o.Size > maxSize:
		return fmt.Errorf("--record-size is %d: it must be from %d to %d", o.Size, MinRecordSize, maxSize)
	case o.Partitions < 1 || o.Partitions > maxPartitions:
		return fmt.Errorf("--partitions is %d: it must be from 1 to %d", o.Partitions, maxPartitions)
	}
	return nil
}

// Run sends the records to the agent at target, which has no topic "demo" yet,
// reads them back and checks each. An error says the first difference. Progress
// goes to messages.
func Run(ctx context.Context, o Options, target string, messages io.Writer) (*Report, error) {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to the agent: %w", err)
	}
	defer conn.Close()
	d := &demo{
		o: o, target: target, conn: conn, messages: messages,
		content: content{seed: rand.Uint64(), size: o.Size},
		acks:    make([]place, o.Records),
	}
	for i := range d.acks {
		d.acks[i] = nowhere
	}
	return d.run(ctx)
}

func (d *demo) run(ctx context.Context) (*Report, error) {
	r := &Report{o: d.o, latencies: &d.latencies}
	var err error
	if r.before, err = d.stats(ctx); err != nil {
		return nil, err
	}
	if err := d.createTopic(ctx); err != nil {
		return nil, err
	}
	if r.produce, err = timed(func() error { return d.produce(ctx) }); err != nil {
		return nil, err
	}
	if r.read, err = timed(func() error { return d.verify(ctx) }); err != nil {
		return nil, err
	}
	if r.after, err = d.stats(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// demo is one run.
type demo struct {
	o        Options
	target   string
	conn     *grpc.ClientConn
	messages io.Writer
	content  content
	// acks is written by the producer's callbacks, and read once it is closed.
	acks      []place
	acked     atomic.Int64
	verified  atomic.Int64
	latencies histogram.Histogram
}

func timed(work func() error) (time.Duration, error) {
	start := time.Now()
	err := work()
	return time.Since(start), err
}

func (d *demo) stats(ctx context.Context) (*streamhousev1.GetStatsResponse, error) {
	stats, err := streamhousev1.NewAgentServiceClient(d.conn).GetStats(ctx, &streamhousev1.GetStatsRequest{})
	if err != nil {
		return nil, fmt.Errorf("read the agent's figures: %w", err)
	}
	return stats, nil
}

func (d *demo) createTopic(ctx context.Context) error {
	_, err := streamhousev1.NewTopicServiceClient(d.conn).CreateTopic(ctx, &streamhousev1.CreateTopicRequest{
		Name: topic, PartitionCount: uint32(d.o.Partitions),
	})
	if err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	return nil
}

// produce sends every record and waits for every acknowledgement.
func (d *demo) produce(ctx context.Context) error {
	defer progress.Watch(d.messages, "produced", int64(d.o.Records), d.acked.Load)()
	p, err := producer.New(ctx, d.target, producer.WithTopic(topic),
		producer.WithBatchRecords(batchRecords), producer.WithMaxBufferedBytes(max(bufferBytes, 2*d.o.Size)))
	if err != nil {
		return err
	}
	var buf []byte
	for i := range d.acks {
		if ctx.Err() != nil {
			break
		}
		var rec producer.Record
		rec.Key, rec.Value, buf = d.content.fill(buf, uint64(i))
		p.SendAsync(ctx, rec, d.callback(i))
	}
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestDrain)
	defer cancel()
	if err := p.Close(draining); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// callback notes where record i went, and for some records how long it took.
func (d *demo) callback(i int) func(producer.Ack, error) {
	resolved := func(a producer.Ack, err error) {
		if err == nil { // Close tells the first error
			d.acks[i] = placeOf(a.Partition, a.Offset)
			d.acked.Add(1)
		}
	}
	if i%probeEvery != 0 {
		return resolved
	}
	sent := time.Now()
	return func(a producer.Ack, err error) {
		d.latencies.Record(time.Since(sent))
		resolved(a, err)
	}
}

// verify reads every partition and checks every record.
func (d *demo) verify(ctx context.Context) error {
	defer progress.Watch(d.messages, "verified", int64(d.o.Records), d.verified.Load)()
	found, err := streamhousev1.NewTopicServiceClient(d.conn).DescribeTopic(ctx, &streamhousev1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return fmt.Errorf("describe topic: %w", err)
	}
	var ranges []reader.Range
	for _, p := range found.GetPartitions() {
		if p.EndOffset == nil || p.GetStartOffset() != 0 {
			return fmt.Errorf("partition %d: offsets %v to %v where all from 0 on were due", p.GetPartition(), p.GetStartOffset(), p.EndOffset)
		}
		ranges = append(ranges, reader.Range{Partition: p.GetPartition(), To: p.GetEndOffset()})
	}
	r := reader.Reader{Client: streamhousev1.NewConsumerServiceClient(d.conn), Topic: topic, MaxBytes: 1 << 20, Patience: patience}
	err = r.ReadAll(ctx, ranges, readers, func(span reader.Range) reader.Visitor {
		return newChecker(&d.content, d.acks, &d.verified, span.Partition)
	})
	if err != nil {
		return err
	}
	return d.complete()
}

// complete looks for records that nobody read.
func (d *demo) complete() error {
	if verified := d.verified.Load(); verified != int64(d.o.Records) {
		return fmt.Errorf("%d records were read back, and %d were sent", verified, d.o.Records)
	}
	for i, at := range d.acks {
		if at == nowhere {
			return fmt.Errorf("record %d was never acknowledged", i)
		}
	}
	return nil
}
