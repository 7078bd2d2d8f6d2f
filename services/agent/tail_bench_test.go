package agent

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// idlePartitions are waited for by readers of their own while BenchmarkTailRead
// measures another one.
const idlePartitions = 100

// BenchmarkTailRead measures, over loopback TCP, how long after a commit a reader
// that waits at the end of its partition has the record, while a hundred other
// readers wait for partitions that are idle.
func BenchmarkTailRead(b *testing.B) {
	bed := newBedOn(b, newTally(memory.NewObjects(), memory.NewRows()), idlePartitions+1, meta.Topic{})
	bed.delays = faults.Plan{}
	a, err := New(Config{
		Name: "agent", Listeners: []Listener{{Name: "internal", Address: "127.0.0.1:0"}}, Flush: FlushConfig{MaxPerSecond: NoCeiling},
	}, WithMemory(&Memory{objects: bed.tally.Objects(), rows: bed.tally.Rows()}))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-a.Ready()
	conn, err := grpc.NewClient(a.Addr("internal"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	waits := measureTail(b, a, conn, bed.topic)
	_ = conn.Close()
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
}

// measureTail appends record after record, and returns for each how long after its
// commit it was read.
func measureTail(b *testing.B, a *Agent, conn *grpc.ClientConn, topic *meta.Topic) (waits []time.Duration) {
	b.Helper()
	client := streamhousev1.NewConsumerServiceClient(conn)
	ctx, stop := context.WithCancel(b.Context())
	var idle sync.WaitGroup
	for p := range uint32(idlePartitions) {
		idle.Go(func() {
			for ctx.Err() == nil {
				_, _ = client.Fetch(ctx, &streamhousev1.FetchRequest{Topic: topic.Name, Partition: p + 1, MaxWaitMs: 30_000}) // until ctx ends
			}
		})
	}
	defer idle.Wait()
	defer stop()
	h := a.services.Host()
	if err := h.Await(ctx, topic); err != nil {
		b.Fatal(err)
	}
	l := newLoad(&bed{TB: b, topic: &meta.Topic{ID: topic.ID, Partitions: 1}})
	read := make(chan time.Time, 1)
	reader := func(offset uint64) {
		page, err := client.Fetch(ctx, &streamhousev1.FetchRequest{Topic: topic.Name, Offset: offset, MaxWaitMs: 30_000})
		if err != nil || len(page.GetBatches()) != 1 {
			b.Errorf("offset %d is not read: %v", offset, err)
		}
		read <- time.Now()
	}
	for n := uint64(0); b.Loop(); n++ {
		idle.Go(func() { reader(n) })
		time.Sleep(2 * time.Millisecond) // the reader waits by then
		if err := l.send(h, 0); err != nil {
			b.Fatal(err)
		}
		for l.acked[0].Load() == n { // the answer follows the commit
			time.Sleep(20 * time.Microsecond)
		}
		committed := time.Now()
		waits = append(waits, max(0, (<-read).Sub(committed)))
	}
	return waits
}
