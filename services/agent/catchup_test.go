package agent

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/streamhouse/streamhouse/proto/batch"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
)

var catchUpBytes = flag.Int64("catch-up", 64<<20, "how much TestCatchUp writes to one partition and reads again")

const (
	catchUpPartitions = 256
	// catchUpBatch is what a producer sends to the partition in 100 ms, at 1 MiB/s,
	// and what a segment has of it.
	catchUpBatch = 100 << 10
	catchUpOther = 1 << 10 // of each of the few others in the segment
	fetchBytes   = 8 << 20
)

// A reader that catches up on one partition of 256 finds large pieces of it once
// they are merged: a request for every 8 MiB, and no more work than it was to
// write them.
func TestCatchUp(t *testing.T) {
	store := newTally(memory.NewObjects(), memory.NewRows())
	topic, err := topics.New(store.rows, maxPartitions).Create(t.Context(), "t", catchUpPartitions)
	if err != nil {
		t.Fatal(err)
	}
	var written, before, after passage
	serveOver(t, store, Config{}, func(conn *grpc.ClientConn) { written = fill(t, conn, topic, *catchUpBytes) })
	serveOver(t, store, Config{}, func(conn *grpc.ClientConn) { before = catchUp(t, conn, store, written.bytes) })
	fast := CompactionConfig{Age: time.Second, BytesPerSecond: 1 << 30}
	serveOver(t, store, Config{Compaction: fast}, func(*grpc.ClientConn) { awaitMerged(t, store, topic) })
	serveOver(t, store, Config{}, func(conn *grpc.ClientConn) { after = catchUp(t, conn, store, written.bytes) })
	t.Logf("written: %v", written)
	t.Logf("read from segments: %v", before)
	t.Logf("read after compaction: %v, %.2f of the rate per core of writing", after, after.perCore()/written.perCore())
	if got := after.getsPer8MiB(); got > 1.1 {
		t.Errorf("%.2f requests for 8 MiB, want 1.1", got)
	}
	if was, is := before.getsPer8MiB(), after.getsPer8MiB(); was < 5*is {
		t.Errorf("%.2f requests for 8 MiB, and %.2f before compaction: they should be a fifth", is, was)
	}
}

// passage is how bytes went in or out.
type passage struct {
	bytes int64
	gets  uint64
	took  time.Duration
	cpu   time.Duration // of client and agent
}

func (p passage) getsPer8MiB() float64 { return float64(p.gets) / (float64(p.bytes) / (8 << 20)) }

// perCore is in MiB/s.
func (p passage) perCore() float64 { return float64(p.bytes) / (1 << 20) / p.cpu.Seconds() }

func (p passage) String() string {
	return fmt.Sprintf("%d MiB, %.2f GETs for 8 MiB, %.0f MiB/s, %.0f MiB/s of one core", p.bytes>>20, p.getsPer8MiB(),
		float64(p.bytes)/(1<<20)/p.took.Seconds(), p.perCore())
}

// measure fills in what do took.
func measure(do func() int64) (p passage) {
	began, before := time.Now(), cpuTime()
	p.bytes = do()
	p.took, p.cpu = time.Since(began), cpuTime()-before
	return p
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serveOver runs an agent over a store, which it has alone, for as long as use
// takes.
func serveOver(t *testing.T, store *tally, cfg Config, use func(conn *grpc.ClientConn)) {
	t.Helper()
	cfg.Name = "agent"
	cfg.Listeners = []Listener{{Name: "internal", Address: "127.0.0.1:0"}}
	cfg.Flush = FlushConfig{Bytes: catchUpBatch + 16<<10, MaxPerSecond: NoCeiling}
	if cfg.Compaction.Age == 0 {
		cfg.Compaction.Age = time.Hour
	}
	a, err := New(cfg, WithMemory(&Memory{objects: store.Objects(), rows: store.Rows()}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-a.Ready()
	conn, err := grpc.NewClient(a.Addr("internal"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessageSize), grpc.ForceCodecV2(wire.Codec())))
	if err != nil {
		t.Fatal(err)
	}
	use(conn)
	_ = conn.Close()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// fill writes to partition 0, and beside it a little to all others.
func fill(t *testing.T, conn *grpc.ClientConn, topic *meta.Topic, bytes int64) passage {
	t.Helper()
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	s, err := conn.NewStream(t.Context(), desc, streamhousev1.ProducerService_ProduceStream_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	big, small := opaque(catchUpBatch), opaque(catchUpOther)
	return measure(func() int64 {
		window, failed := make(chan struct{}, 128), make(chan error, 1)
		var receiver sync.WaitGroup
		n := (bytes + int64(len(big)) - 1) / int64(len(big))
		receiver.Go(func() { failed <- receiveAnswers(s, int(n)*(1+catchUpPerSegment), window) })
		for i := range n {
			r := wire.Request{Batches: []wire.Batch{{TopicID: topic.ID, Data: big}}}
			for k := range int64(catchUpPerSegment) {
				p := 1 + (i*catchUpPerSegment+k)%(catchUpPartitions-1)
				r.Batches = append(r.Batches, wire.Batch{TopicID: topic.ID, Partition: uint32(p), Data: small})
			}
			for range r.Batches {
				window <- struct{}{}
			}
			if err := s.SendMsg(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		receiver.Wait()
		return n * int64(len(big))
	})
}

// catchUpPerSegment is how many of the other partitions are in a segment.
const catchUpPerSegment = 8

func receiveAnswers(s grpc.ClientStream, n int, window <-chan struct{}) error {
	for n > 0 {
		var m wire.Answers
		if err := s.RecvMsg(&m); err != nil {
			return fmt.Errorf("receive answers: %w", err)
		}
		for _, a := range m.Answers {
			if a.Err != nil {
				return fmt.Errorf("batch refused: %v", a.Err)
			}
			<-window
			n--
		}
	}
	return nil
}

// opaque is a batch of about so many bytes, without a producer.
func opaque(size int) []byte {
	var b batch.Builder
	value := make([]byte, 1000)
	for b.Size() < size {
		for i := range value {
			value[i] = byte(rand.Uint32())
		}
		b.Append(&batch.Record{Value: value, Timestamp: 1})
	}
	return b.Seal(0, 0)
}

// catchUp reads partition 0 as a consumer does, and checks each batch.
func catchUp(t *testing.T, conn *grpc.ClientConn, store *tally, want int64) passage {
	t.Helper()
	client, before := streamhousev1.NewConsumerServiceClient(conn), store.gets()
	p := measure(func() (bytes int64) {
		for next, end := uint64(0), uint64(1); next < end; {
			page, err := client.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t", Offset: next, MaxBytes: fetchBytes})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range page.GetBatches() {
				h, err := batch.Check(b.GetBatch())
				if err != nil || b.GetBaseOffset() != next {
					t.Fatalf("offset %d where %d is due: %v", b.GetBaseOffset(), next, err)
				}
				next += uint64(h.Records)
				bytes += int64(len(b.GetBatch()))
			}
			end = page.GetEndOffset()
		}
		return bytes
	})
	p.gets = store.gets() - before
	if p.bytes != want {
		t.Errorf("read %d bytes of %d", p.bytes, want)
	}
	return p
}

// awaitMerged waits until all of partition 0 is merged.
func awaitMerged(t *testing.T, store *tally, topic *meta.Topic) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		row := &meta.Partition{Topic: topic.ID}
		if err := store.rows.Get(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		if row.Checkpoint.End == row.Start && len(row.Tenures) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the checkpoint is at %d of %d", row.Checkpoint.End, row.Start)
		}
	}
}
