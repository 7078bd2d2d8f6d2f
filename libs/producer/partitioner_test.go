package producer_test

import (
	"fmt"
	"testing"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/internal/murmur2"
)

// Hole 25: key hashing was not portable between languages, keyless records
// went by now % n.
func TestKeyedRecordsGoWhereOtherClientsPutThem(t *testing.T) {
	inWorld(t, options(producer.WithPartitioner(producer.ByKey())), func(w *world) {
		for n := range 300 {
			key := fmt.Appendf(nil, "user-%d", n)
			ack, err := make(chan uint32, 1), make(chan error, 1)
			w.producer.SendAsync(w.Context(), producer.Record{Key: key}, func(a producer.Ack, e error) { ack <- a.Partition; err <- e })
			if n%100 == 99 {
				w.flush()
				if got, want := <-ack, uint32(murmur2.Partition(key, 3)); got != want || <-err != nil {
					w.Fatalf("%s went to %d, want %d", key, got, want)
				}
			}
		}
		// An empty key is a key.
		if ack, err := w.producer.Send(w.Context(), producer.Record{Key: []byte{}}); err != nil || ack.Partition != uint32(murmur2.Partition(nil, 3)) {
			w.Fatalf("got %v, %v", ack, err)
		}
	})
}

// Records without a key fill one batch after the other, in all partitions. The
// bug this catches: they are spread record by record, and every batch is small.
func TestKeylessRecordsFillBatches(t *testing.T) {
	inWorld(t, options(producer.WithPartitioner(producer.ByKey())), func(w *world) {
		for n := range 10_000 {
			w.producer.SendAsync(w.Context(), producer.Record{Value: fmt.Append(nil, n)}, nil)
		}
		w.flush()
		if got := len(w.gotAttempts()); got != 100 {
			w.Fatalf("%d batches, want 100", got)
		}
		for partition := range 3 {
			if got := len(w.cluster.Records(topic, partition)); got < 1000 {
				w.Errorf("partition %d got %d of 10000 records", partition, got)
			}
		}
	})
}

type byLength struct{}

func (b byLength) ForTopic(string) producer.TopicPartitioner { return b }

func (byLength) Pick(rec producer.Record, partitions int) int { return len(rec.Value) % partitions }

func TestOwnPartitioner(t *testing.T) {
	inWorld(t, options(producer.WithPartitioner(byLength{})), func(w *world) {
		for _, value := range []string{"", "a", "bb", "ccc", "dddd"} {
			w.producer.SendAsync(w.Context(), producer.Record{Value: []byte(value)}, nil)
		}
		w.flush()
		for partition, want := range []string{" ccc", "a dddd", "bb"} {
			if got := w.values(partition); got != want {
				w.Errorf("partition %d holds %q, want %q", partition, got, want)
			}
		}
	})
}
