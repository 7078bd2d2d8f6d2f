package seed

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// What is sent, by the plain call and by the library, is acknowledged with the
// offset at which a reader finds it.
func TestProducerAgentBasic(t *testing.T) {
	a := start(t, 1)
	made, err := a.producer.Produce(t.Context(), &streamhousev1.ProduceRequest{Topic: topic, Records: []*streamhousev1.Record{
		{Key: []byte("k0"), Value: []byte("v0")}, {Key: []byte("k1"), Value: []byte("v1")},
	}})
	if err != nil || made.GetBaseOffset() != 0 || made.GetRecordCount() != 2 {
		t.Fatalf("produced %v, %v", made, err)
	}
	p := a.client()
	for n := 2; n < 5; n++ {
		ack, err := p.Send(t.Context(), producer.Record{Key: fmt.Append(nil, "k", n), Value: fmt.Append(nil, "v", n)})
		if want := (producer.Ack{Topic: topic, Partition: 0, Offset: uint64(n)}); err != nil || ack != want {
			t.Fatalf("record %d: %+v, %v", n, ack, err)
		}
	}
	if got, want := fmt.Sprint(a.records(0)), "[k0=v0 k1=v1 k2=v2 k3=v3 k4=v4]"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
}

// An agent that holds no lease for a partition says NOT_FOUND, with the reason
// NOT_OWNER. For a program that is only a wait: the library looks for the owner,
// and the record is in the log once there is one.
func TestProducerAgentNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world.New(t)
		// The fourth row that is made is the partition's, after the session's,
		// the topic id's and the topic's.
		w.Start(world.Faults("op=row-create,first=4,kind=pause,pause=10s"))
		created := make(chan error, 1)
		go func() { created <- w.CreateTopic(t.Context(), 1) }()
		time.Sleep(3 * time.Second)
		one := &streamhousev1.ProduceRequest{Topic: world.Topic, Records: []*streamhousev1.Record{{Value: []byte("early")}}}
		_, err := streamhousev1.NewProducerServiceClient(w.Dial()).Produce(t.Context(), one)
		if status.Code(err) != codes.NotFound || !errors.Is(reason.From(err), reason.NotOwner) {
			t.Fatalf("error is %v, want NOT_FOUND for %s", err, reason.NotOwner)
		}
		began := time.Now()
		ack, err := w.Producer(producer.WithLinger(0)).Send(t.Context(), producer.Record{Value: []byte("patient")})
		if err != nil || ack.Offset != 0 {
			t.Errorf("the library: %+v, %v", ack, err)
		}
		if waited := time.Since(began); waited < 5*time.Second || waited > 9*time.Second {
			t.Errorf("it waited %v, and the lease came after 7 s", waited)
		}
		if err := <-created; err != nil {
			t.Error(err)
		}
	})
}

// 10,000 records arrive once each and in their order, whatever the speed.
func TestProducerAgentThroughput(t *testing.T) {
	a := start(t, 1)
	p := a.client(producer.WithBatchRecords(100))
	const n = 10_000
	next := uint64(0) // callbacks come one at a time
	for i := range n {
		p.SendAsync(t.Context(), producer.Record{Value: fmt.Append(nil, i)}, func(ack producer.Ack, err error) {
			if err != nil || ack.Offset != next {
				t.Errorf("record %d: offset %d, %v", next, ack.Offset, err)
			}
			next++
		})
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if next != n {
		t.Errorf("%d callbacks for %d records", next, n)
	}
	checkNumbers(t, a.records(0), n)
}

// checkNumbers checks that records without keys hold 0 to n-1.
func checkNumbers(t *testing.T, records []string, n int) {
	t.Helper()
	if len(records) != n {
		t.Fatalf("read %d records, want %d", len(records), n)
	}
	for i, r := range records {
		if r != fmt.Sprint("=", i) {
			t.Fatalf("record %d is %q", i, r)
		}
	}
}

// BenchmarkProducerAgentThroughput is the first design's measurement, 10,000
// records at a time with its default batch of 100, on a real agent that syncs
// every commit to disk.
func BenchmarkProducerAgentThroughput(b *testing.B) {
	a := start(b, 1)
	p := a.client(producer.WithBatchRecords(100))
	const n = 10_000
	value := make([]byte, 100)
	var failed atomic.Int64
	for b.Loop() {
		for range n {
			p.SendAsync(b.Context(), producer.Record{Value: value}, func(_ producer.Ack, err error) {
				if err != nil {
					failed.Add(1)
				}
			})
		}
		if err := p.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if failed.Load() > 0 {
		b.Fatalf("%d records failed", failed.Load())
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "records/s")
}
