package producer_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/batch"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
)

// The benchmarks run their agent in a process of its own, so that what they
// measure is the library: this test program again, told so by the environment.
const agentEnv = "STREAMHOUSE_BENCH_AGENT"

// answerEnv is how long the agent takes for an answer.
const answerEnv = "STREAMHOUSE_BENCH_ANSWER"

func TestMain(m *testing.M) {
	if os.Getenv(agentEnv) != "" {
		if err := runBlackHole(); err != nil {
			panic(err)
		}
		return
	}
	m.Run() // its result is the exit code
}

// blackHole acknowledges every batch, at once or after a while, and keeps
// nothing.
type blackHole struct {
	delay time.Duration
	streamhousev1.UnimplementedProducerServiceServer
	streamhousev1.UnimplementedTopicServiceServer
}

const benchPartitions = 16

func (blackHole) DescribeTopic(_ context.Context, req *streamhousev1.DescribeTopicRequest) (*streamhousev1.DescribeTopicResponse, error) {
	return &streamhousev1.DescribeTopicResponse{Topic: &streamhousev1.Topic{Name: req.GetName(), Id: 1, PartitionCount: benchPartitions}}, nil
}

func (h blackHole) ProduceStream(stream grpc.BidiStreamingServer[streamhousev1.ProduceStreamRequest, streamhousev1.ProduceStreamResponse]) error {
	var next [benchPartitions]uint64
	var in wire.Arrival
	var out wire.Answers
	if h.delay > 0 {
		late := newLateAnswers(stream, h.delay)
		defer late.stop()
		stream = late
	}
	for {
		if err := stream.RecvMsg(&in); err != nil {
			return err // also when the client is done
		}
		out.Answers = out.Answers[:0]
		for i := range in.Batches {
			b := &in.Batches[i]
			h, err := batch.ParseHeader(head(b.Parts))
			if err != nil {
				return err
			}
			out.Answers = append(out.Answers, wire.Answer{RequestID: b.RequestID, BaseOffset: next[b.Partition]})
			next[b.Partition] += uint64(h.Records)
		}
		in.Free()
		if err := stream.SendMsg(&out); err != nil {
			return err
		}
	}
}

// head is the beginning of a batch, which lies across parts where the
// transport's buffers end.
func head(parts [][]byte) []byte {
	all := parts[0]
	for i := 1; len(all) < batch.HeaderSize && i < len(parts); i++ {
		all = append(slices.Clip(all), parts[i]...)
	}
	return all
}

// lateAnswers sends a stream's answers later than it is told to.
type lateAnswers struct {
	grpc.BidiStreamingServer[streamhousev1.ProduceStreamRequest, streamhousev1.ProduceStreamResponse]
	delay time.Duration
	queue chan lateAnswer
	ended chan struct{}
}

type lateAnswer struct {
	answers []wire.Answer
	due     time.Time
}

func newLateAnswers(stream grpc.BidiStreamingServer[streamhousev1.ProduceStreamRequest, streamhousev1.ProduceStreamResponse], delay time.Duration) *lateAnswers {
	s := &lateAnswers{BidiStreamingServer: stream, delay: delay, queue: make(chan lateAnswer, 1<<16), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		for a := range s.queue {
			time.Sleep(time.Until(a.due))
			_ = s.BidiStreamingServer.SendMsg(&wire.Answers{Answers: a.answers}) // the receiver notices the end
		}
	}()
	return s
}

func (s *lateAnswers) SendMsg(m any) error {
	s.queue <- lateAnswer{answers: slices.Clone(m.(*wire.Answers).Answers), due: time.Now().Add(s.delay)}
	return nil
}

func (s *lateAnswers) stop() {
	close(s.queue)
	<-s.ended
}

func runBlackHole() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	delay, _ := time.ParseDuration(os.Getenv(answerEnv)) // none if it is not set
	server := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec()), grpc.MaxRecvMsgSize(16<<20),
		grpc.InitialWindowSize(4<<20), grpc.InitialConnWindowSize(4<<20))
	streamhousev1.RegisterProducerServiceServer(server, blackHole{delay: delay})
	streamhousev1.RegisterTopicServiceServer(server, blackHole{})
	if _, err := fmt.Fprintln(os.Stdout, listener.Addr()); err != nil {
		return err
	}
	go func() { // the parent holds our stdin: when it is gone, so are we
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	return server.Serve(listener)
}

// startBlackHole returns its address.
func startBlackHole(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), agentEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(address)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSendAsync sends records with a callback each and counts what was
// acknowledged. cpu-s/M is this process's CPU seconds per million records.
func BenchmarkSendAsync(b *testing.B) {
	for _, c := range []struct {
		size, batch int
		codec       producer.Codec
	}{
		{100, 100, producer.NoCompression},
		{100, 1000, producer.NoCompression},
		{100, 1000, producer.S2},
		{1024, 100, producer.NoCompression},
		{1024, 1000, producer.NoCompression},
	} {
		b.Run(fmt.Sprintf("%dB/batch%d/%v", c.size, c.batch, c.codec), func(b *testing.B) {
			benchmarkSend(b, c.size, producer.WithBatchRecords(c.batch), producer.WithCompression(c.codec))
		})
	}
}

func benchmarkSend(b *testing.B, size int, opts ...producer.Option) {
	b.Helper()
	ctx := b.Context()
	p, err := producer.New(ctx, startBlackHole(b), append(opts, producer.WithTopic("bench"))...)
	if err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, 1<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range payload {
		payload[i] = byte(rng.Uint32())
	}
	var acked, failed atomic.Int64
	done := func(_ producer.Ack, err error) {
		if err != nil {
			failed.Add(1)
			return
		}
		acked.Add(1)
	}
	if _, err := p.Send(ctx, producer.Record{Value: payload[:size]}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	start := cpuTime()
	sent := 0
	for b.Loop() {
		at := sent * size % (len(payload) - size)
		p.SendAsync(ctx, producer.Record{Value: payload[at : at+size]}, done)
		sent++
	}
	if err := p.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	cpu := cpuTime() - start
	b.ReportMetric(cpu.Seconds()/float64(sent)*1e6, "cpu-s/M")
	if err := p.Close(ctx); err != nil {
		b.Fatal(err)
	}
	if acked.Load() != int64(sent) || failed.Load() != 0 {
		b.Fatalf("%d acknowledged and %d failed of %d", acked.Load(), failed.Load(), sent)
	}
}

// BenchmarkSendParallel sends from many goroutines at once.
func BenchmarkSendParallel(b *testing.B) {
	ctx := b.Context()
	p, err := producer.New(ctx, startBlackHole(b), producer.WithTopic("bench"), producer.WithBatchRecords(1000), producer.WithCompression(producer.NoCompression))
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 100)
	key := []byte("some-key")
	b.SetParallelism(500)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		n := rand.Uint32()
		for pb.Next() {
			n++
			p.SendAsync(ctx, producer.Record{Key: binary.LittleEndian.AppendUint32(key[:4:4], n), Value: value}, nil)
		}
	})
	if err := p.Close(ctx); err != nil {
		b.Fatal(err)
	}
}
