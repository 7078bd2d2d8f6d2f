package producer_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// BenchmarkBatchPolicy shows what the presets trade: records of 100 bytes
// without a key, 16 partitions, at a rate or as fast as it goes. Latency is from
// SendAsync to the callback, of every 16th record when there is no rate.
//
//	go test -run xxx -bench BatchPolicy -benchtime 3s
func BenchmarkBatchPolicy(b *testing.B) {
	for _, rate := range []int{1000, 50_000, 0} {
		for _, p := range []struct {
			name string
			opts []producer.Option
		}{
			{"high-throughput", options(producer.WithBatchPolicy(producer.HighThroughputBatchPolicy()))},
			{"balanced", nil},
			{"balanced-adaptive", options(producer.WithAdaptiveLinger())},
			{"low-latency", options(producer.WithBatchPolicy(producer.LowLatencyBatchPolicy()))},
			{"low-latency-adaptive", options(producer.WithBatchPolicy(producer.LowLatencyBatchPolicy()), producer.WithAdaptiveLinger())},
		} {
			for _, answer := range []time.Duration{0, 50 * time.Millisecond} {
				b.Run(fmt.Sprintf("rate%d/%s/answer%v", rate, p.name, answer), func(b *testing.B) {
					benchmarkPolicy(b, rate, answer, p.opts...)
				})
			}
		}
	}
}

func benchmarkPolicy(b *testing.B, rate int, answer time.Duration, opts ...producer.Option) {
	b.Helper()
	b.Setenv(answerEnv, answer.String())
	ctx := b.Context()
	count := &counting{inner: producer.ByKey()}
	p, err := producer.New(ctx, startBlackHole(b), append(opts, producer.WithTopic("bench"), producer.WithPartitioner(count),
		producer.WithCompression(producer.NoCompression), producer.WithDialOptions(grpc.WithStreamInterceptor(count.intercept)))...)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := p.Send(ctx, producer.Record{Key: []byte("describe the topic, connect")}); err != nil {
		b.Fatal(err)
	}
	count.batches.Store(0)
	count.requests.Store(0)
	var mu sync.Mutex
	var took []time.Duration
	value := make([]byte, 100)
	start, cpu, sent := time.Now(), cpuTime(), 0
	for b.Loop() {
		if rate > 0 && sent%max(1, rate/1000) == 0 { // every millisecond, as many as are due
			time.Sleep(time.Until(start.Add(time.Duration(sent) * time.Second / time.Duration(rate))))
		}
		var done func(producer.Ack, error)
		if rate > 0 || sent%16 == 0 {
			at := time.Now()
			done = func(producer.Ack, error) {
				d := time.Since(at)
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		}
		p.SendAsync(ctx, producer.Record{Value: value}, done)
		sent++
	}
	if err := p.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	elapsed := time.Since(start)
	b.ReportMetric(float64(sent)/elapsed.Seconds(), "records/s")
	b.ReportMetric((cpuTime()-cpu).Seconds()/float64(sent)*1e6, "cpu-s/M")
	b.ReportMetric(float64(sent)/float64(count.batches.Load()), "records/batch")
	b.ReportMetric(float64(count.requests.Load())/elapsed.Seconds(), "requests/s")
	if err := p.Close(ctx); err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// counting counts the batches of a partitioner's records, and the requests that
// carry them.
type counting struct {
	inner             producer.Partitioner
	batches, requests atomic.Int64
}

type countingTopic struct {
	producer.TopicPartitioner
	count *counting
}

func (c *counting) ForTopic(topic string) producer.TopicPartitioner {
	return countingTopic{TopicPartitioner: c.inner.ForTopic(topic), count: c}
}

func (c countingTopic) BatchClosed(partition int) {
	c.count.batches.Add(1)
	c.TopicPartitioner.(producer.BatchObserver).BatchClosed(partition)
}

func (c countingTopic) ObservePartitions(p producer.Partitions) {
	c.TopicPartitioner.(producer.PartitionsObserver).ObservePartitions(p)
}

func (c *counting) intercept(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := next(ctx, desc, cc, method, opts...)
	return countingStream{ClientStream: s, count: c}, err
}

type countingStream struct {
	grpc.ClientStream
	count *counting
}

func (s countingStream) SendMsg(m any) error {
	s.count.requests.Add(1)
	return s.ClientStream.SendMsg(m)
}
