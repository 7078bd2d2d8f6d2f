package producer_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
)

// onePartition makes the topic one that may use the whole buffer.
func (w *world) onePartition() { w.cluster.CreateTopic(topic, "a") }

// stuck are the ways in which agent b can leave its partition standing.
var stuck = map[string]func(w *world){
	"dead": func(w *world) { w.cluster.Kill("b") },
	"silent": func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply { return producertest.Reply{Silent: a.Agent == "b"} })
	},
	"slow": func(w *world) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Agent == "b" {
				return producertest.Reply{Delay: time.Minute}
			}
			return producertest.Reply{}
		})
	},
}

// A partition that stands still takes its share of the buffer, and those who
// send to it wait. All others go on as if nothing were.
func TestStuckPartitionLeavesRoomForOthers(t *testing.T) {
	for name, stick := range stuck {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options(producer.WithMaxBufferedRecords(3000)), func(w *world) {
				w.cluster.Move(topic, 1, "b")
				stick(w)
				ctx, cancel := context.WithCancel(w.Context())
				stopped := make(chan struct{})
				go func() { // far more than there is room for
					defer close(stopped)
					for n := range 10_000 {
						w.producer.SendAsync(ctx, producer.Record{Partition: 1}, func(producer.Ack, error) {})
						if ctx.Err() != nil {
							check(w.T, "the stuck partition's records", n, 2000)
							return
						}
					}
				}()
				synctest.Wait()
				start := time.Now()
				w.sendTo(0, 0, 9_999) // more than the whole buffer, too
				w.sendTo(2, 10_000, 10_099)
				synctest.Wait()
				check(w.T, "acknowledged", len(w.gotResults()), 10_100)
				check(w.T, "time", time.Since(start), time.Duration(0))
				cancel()
				<-stopped
			})
		})
	}
}

// With WithFailWhenFull the records for a stuck partition fail, each inside its
// SendAsync: refusals pile up nowhere. Others are taken.
func TestStuckPartitionFailsOnlyItsOwn(t *testing.T) {
	inWorld(t, options(producer.WithMaxBufferedRecords(300), producer.WithFailWhenFull()), func(w *world) {
		w.cluster.Move(topic, 1, "b")
		w.cluster.Kill("b")
		w.send(0, 0) // the topic is described
		w.flush()
		refused := 0
		for range 1000 {
			before := refused
			returned := false
			w.producer.SendAsync(w.Context(), producer.Record{Partition: 1}, func(_ producer.Ack, err error) {
				if returned {
					return // the record was taken
				}
				refused++
				if !isError(err, producer.ErrBufferFull) || producer.OutcomeOf(err) != producer.NotDone ||
					!strings.Contains(err.Error(), "200 of 300 records and 4600 of 67108864 bytes, of which this partition has 200 and 4600") {
					w.Errorf("got %v", err)
				}
			})
			if refused == before && before > 0 {
				w.Fatal("a refusal was not told before SendAsync returned")
			}
			returned = true
		}
		check(w.T, "refused", refused, 800)
		for n := range 10 {
			w.send(1+n*50, 50+n*50)
			time.Sleep(150 * time.Millisecond)
		}
		w.checkAcked(0, 500)
	})
}

// A refusing callback runs in its caller also while the deliverer is busy: the
// bug this catches is a queue of refusals behind a slow callback.
func TestRefusalsDoNotQueueBehindCallbacks(t *testing.T) {
	inWorld(t, single(producer.WithMaxBufferedRecords(2), producer.WithFailWhenFull()), func(w *world) {
		release := make(chan struct{})
		w.producer.SendAsync(w.Context(), producer.Record{}, func(producer.Ack, error) { <-release })
		synctest.Wait() // its callback stands
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Wait: release} })
		w.onePartitionIsFull()
		for range 1000 {
			told := false
			w.producer.SendAsync(w.Context(), producer.Record{}, func(_ producer.Ack, err error) { told = isError(err, producer.ErrBufferFull) })
			if !told {
				w.Fatal("a refusal waits")
			}
		}
		close(release)
	})
}

func (w *world) onePartitionIsFull() {
	w.Helper()
	for records, before := 0, -1; records != before; {
		before = records
		w.producer.SendAsync(w.Context(), producer.Record{}, nil)
		records, _ = producer.Buffered(w.producer)
	}
}
