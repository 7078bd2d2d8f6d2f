package seed

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/history"
)

// Ten clients send to the same partitions at once. Each one's records are in
// the log once, in its order, at the offsets that it was told.
func TestConcurrentClients(t *testing.T) {
	const clients, partitions, records = 10, 3, 300
	a := start(t, partitions)
	h := history.New()
	var senders sync.WaitGroup
	for c := range uint32(clients) {
		p := a.client(producer.WithBatchRecords(20))
		senders.Go(func() {
			for n := range records {
				id := h.Send(c, uint32(n%partitions))
				p.SendAsync(t.Context(), producer.Record{Value: id.Value(100), Partition: int32(id.Partition)}, h.Callback(id))
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	log := h.Verify(t, a.topics, a.consumer, topic)
	if got := log.Records(); got != clients*records || h.Counts().Acked != got {
		t.Errorf("%d records in the log, and %v", got, h.Counts())
	}
	for p := range uint32(partitions) {
		ids := map[uint64]bool{}
		for _, b := range a.read(p) {
			ids[b.ProducerID] = true
		}
		if len(ids) != clients {
			t.Errorf("%d producers wrote to partition %d, want %d", len(ids), p, clients)
		}
	}
}

// Batches of 1000 records reach the log as such, one behind the other.
func TestLargeBatches(t *testing.T) {
	const size, batches = 1000, 5
	a := start(t, 1)
	p := a.client(producer.WithBatchRecords(size), producer.WithLinger(time.Minute))
	for n := range size * batches {
		p.SendAsync(t.Context(), producer.Record{Value: fmt.Append(nil, n)}, nil)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := a.read(0)
	if len(log) != batches {
		t.Fatalf("%d batches, want %d", len(log), batches)
	}
	for i, b := range log {
		if b.Records != size || b.base != uint64(i*size) {
			t.Errorf("batch %d has %d records from offset %d", i, b.Records, b.base)
		}
	}
	checkNumbers(t, a.records(0), size*batches)
}

// A batch without records is refused, by every way in, and a client with
// nothing to send sends nothing.
func TestEmptyBatchHandling(t *testing.T) {
	a := start(t, 1)
	_, err := a.producer.Produce(t.Context(), &streamhousev1.ProduceRequest{Topic: topic})
	checkReason(t, err, reason.InvalidArgument)

	var empty batch.Builder
	stream, err := a.producer.ProduceStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, data := range [][]byte{nil, empty.Seal(1, 0)} {
		if err := stream.Send(&streamhousev1.ProduceStreamRequest{Batches: []*streamhousev1.ProduceBatch{
			{RequestId: uint64(i), TopicId: a.topicID, Batch: data},
		}}); err != nil {
			t.Fatal(err)
		}
		in, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := in.GetAnswers()[0].GetError().GetReason(); got != string(reason.CorruptBatch) {
			t.Errorf("empty batch %d is answered with %q", i, got)
		}
	}

	p := a.client()
	if err := errors.Join(p.Flush(t.Context()), p.Close(t.Context())); err != nil {
		t.Errorf("with nothing to send: %v", err)
	}
	if got := a.read(0); len(got) != 0 {
		t.Errorf("the log holds %d batches", len(got))
	}
}

func checkReason(t *testing.T, err error, want reason.Reason) {
	t.Helper()
	if got := reason.From(err); got == nil || got.Reason != want || got.Code != want.Code() || got.Message == "" {
		t.Errorf("error is %v, want %s", err, want)
	}
}

// A topic that does not exist, or cannot, is refused at once and clearly, and
// its record is known not to be in any log.
func TestInvalidTopic(t *testing.T) {
	a := start(t, 1)
	one := []*streamhousev1.Record{{Value: []byte("x")}}
	for name, want := range map[string]reason.Reason{
		"nowhere":                reason.UnknownTopic,
		"":                       reason.InvalidArgument,
		"no where":               reason.InvalidArgument,
		"..":                     reason.InvalidArgument,
		strings.Repeat("x", 250): reason.InvalidArgument,
	} {
		_, err := a.producer.Produce(t.Context(), &streamhousev1.ProduceRequest{Topic: name, Records: one})
		checkReason(t, err, want)
		if name == "" {
			continue // for the library it stands for the default topic
		}
		began := time.Now()
		_, err = a.client().Send(t.Context(), producer.Record{Topic: name, Value: []byte("x")})
		if !errors.Is(err, want) || producer.OutcomeOf(err) != producer.NotDone {
			t.Errorf("the library for topic %.20q: %v, %v", name, err, producer.OutcomeOf(err))
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v to say so: it was retried", took)
		}
	}
	if got := a.read(0); len(got) != 0 {
		t.Errorf("the log of another topic holds %d batches", len(got))
	}
}

// Partitions are logs of their own: each counts its offsets from 0, and holds
// what was sent to it and nothing else.
func TestMultiplePartitions(t *testing.T) {
	const partitions, records = 6, 50
	a := start(t, partitions)
	p := a.client(producer.WithBatchRecords(7))
	for n := range partitions * records {
		partition := n % partitions
		p.SendAsync(t.Context(), producer.Record{Value: fmt.Append(nil, partition, "/", n/partitions), Partition: int32(partition)},
			func(ack producer.Ack, err error) {
				if want := (producer.Ack{Topic: topic, Partition: uint32(partition), Offset: uint64(n / partitions)}); err != nil || ack != want {
					t.Errorf("acknowledged %+v, %v, want %+v", ack, err, want)
				}
			})
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for partition := range uint32(partitions) {
		got := a.records(partition)
		if len(got) != records {
			t.Errorf("partition %d holds %d records", partition, len(got))
		}
		for i, r := range got {
			if r != fmt.Sprint("=", partition, "/", i) {
				t.Fatalf("record %d of partition %d is %q", i, partition, r)
			}
		}
	}
}

// Offsets count up record by record in the order of sending, one at a time and
// many at once, from one client and from the next.
func TestRecordOrdering(t *testing.T) {
	a := start(t, 1)
	next := 0
	for range 2 {
		p := a.client(producer.WithBatchRecords(3))
		for range 20 {
			ack, err := p.Send(t.Context(), producer.Record{Value: fmt.Append(nil, next)})
			if err != nil || ack.Offset != uint64(next) {
				t.Fatalf("record %d: offset %d, %v", next, ack.Offset, err)
			}
			next++
		}
		for range 1000 {
			want := uint64(next)
			p.SendAsync(t.Context(), producer.Record{Value: fmt.Append(nil, next)}, func(ack producer.Ack, err error) {
				if err != nil || ack.Offset != want {
					t.Errorf("record %d: offset %d, %v", want, ack.Offset, err)
				}
			})
			next++
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	checkNumbers(t, a.records(0), next)
}
