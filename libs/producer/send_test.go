package producer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
)

func isError(err, target error) bool { return errors.Is(err, target) }

func asError(err error, target **reason.Error) bool { return errors.As(err, target) }

func TestSendWaitsForItsOffset(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for n := range 3 {
			ack, err := w.producer.Send(w.Context(), producer.Record{Value: []byte("v"), Partition: 2})
			if err != nil {
				w.Fatal(err)
			}
			if want := (producer.Ack{Topic: topic, Partition: 2, Offset: uint64(n)}); ack != want {
				w.Fatalf("got %+v, want %+v", ack, want)
			}
		}
		if got := len(w.cluster.Records(topic, 2)); got != 3 {
			w.Fatalf("the log holds %d records", got)
		}
	})
}

func TestRecordsArriveAsTheyWereSent(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		start := time.Now()
		given := time.Date(1999, 2, 3, 4, 5, 6, 789_123_456, time.UTC)
		for _, rec := range []producer.Record{
			{Key: nil, Value: []byte("no key")},
			{Key: []byte{}, Value: []byte{}},
			{Key: []byte("k")},
			{Key: []byte{0, 0xff}, Value: []byte("h"), Headers: []producer.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}}}},
			{Value: []byte("t"), Timestamp: given},
		} {
			w.producer.SendAsync(w.Context(), rec, nil)
		}
		w.flush()
		ms := start.UnixMilli()
		want := []producertest.Record{
			{Value: []byte("no key"), Timestamp: ms},
			{Key: []byte{}, Value: []byte{}, Timestamp: ms},
			{Key: []byte("k"), Timestamp: ms},
			{Key: []byte{0, 0xff}, Value: []byte("h"), Headers: []batch.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a"}, {Key: "", Value: []byte{}}}, Timestamp: ms},
			{Value: []byte("t"), Timestamp: given.UnixMilli()},
		}
		got := w.cluster.Records(topic, 0)
		for i := range got {
			got[i].Offset, got[i].Producer, got[i].Sequence = 0, 0, 0
		}
		if !reflect.DeepEqual(got, want) {
			w.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

// The bug this catches: a caller that reuses its buffer changes records that
// it sent before.
func TestBytesAreCopied(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		buf := []byte("0")
		for n := range 5 {
			buf[0] = byte('0' + n)
			w.producer.SendAsync(w.Context(), producer.Record{Key: buf, Value: buf, Headers: []producer.Header{{Value: buf}}}, nil)
		}
		w.flush()
		for n, e := range w.cluster.Records(topic, 0) {
			if want := fmt.Sprint(n); string(e.Key) != want || string(e.Value) != want || string(e.Headers[0].Value) != want {
				w.Fatalf("record %d holds %s, %s, %s", n, e.Key, e.Value, e.Headers[0].Value)
			}
		}
	})
}

// Each trigger closes a batch at its own moment, and nothing else does.
func TestBatchTriggers(t *testing.T) {
	kib := strings.Repeat("x", 1024)
	for _, c := range []struct {
		name    string
		opts    []producer.Option
		value   string
		send    int
		batches []uint32 // records of each
		after   time.Duration
	}{
		{"count", options(producer.WithBatchRecords(10)), "v", 20, []uint32{10, 10}, 0},
		{"default count", nil, "v", 200, []uint32{100, 100}, 0},
		{"bytes, when no more would fit", options(producer.WithBatchBytes(10 << 10)), kib, 18, []uint32{9, 9}, 0},
		{"linger", options(producer.WithLinger(250 * time.Millisecond)), "v", 3, []uint32{3}, 250 * time.Millisecond},
		{"default linger", nil, "v", 3, []uint32{3}, 100 * time.Millisecond},
		{"a record larger than the limit", options(producer.WithBatchBytes(100)), kib, 2, []uint32{1, 1}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, c.opts, func(w *world) {
				for range c.send {
					w.producer.SendAsync(w.Context(), producer.Record{Value: []byte(c.value)}, nil)
				}
				time.Sleep(c.after)
				synctest.Wait()
				checkBatches(w, c.batches, c.after)
			})
		})
	}
}

func checkBatches(w *world, records []uint32, after time.Duration) {
	w.Helper()
	got := w.gotAttempts()
	if len(got) != len(records) {
		w.Fatalf("%d batches, want %d", len(got), len(records))
	}
	for i, a := range got {
		if a.Header.Records != records[i] || a.at != after {
			w.Fatalf("batch %d has %d records after %v, want %d after %v", i, a.Header.Records, a.at, records[i], after)
		}
	}
}

// A record that does not fit goes into the next batch; that it is large does
// not send the small ones before it late, or it itself early.
func TestBatchNeverExceedsItsBytes(t *testing.T) {
	inWorld(t, options(producer.WithBatchBytes(4<<10), producer.WithBatchRecords(1000)), func(w *world) {
		rng := rand.New(rand.NewPCG(1, 2))
		for range 500 {
			w.producer.SendAsync(w.Context(), producer.Record{Value: make([]byte, rng.IntN(1500))}, nil)
		}
		w.flush()
		for _, a := range w.gotAttempts() {
			if len(a.Data) > 4<<10 {
				w.Fatalf("a batch has %d bytes", len(a.Data))
			}
		}
		if got := len(w.cluster.Records(topic, 0)); got != 500 {
			w.Fatalf("%d records arrived", got)
		}
	})
}

// With linger 0 a record leaves at once, and records that come while the
// connection is busy share a batch.
func TestLingerZero(t *testing.T) {
	for _, codec := range []producer.Codec{producer.NoCompression, producer.S2} {
		inWorld(t, options(producer.WithLinger(0), producer.WithCompression(codec)), func(w *world) {
			start := time.Now()
			if _, err := w.producer.Send(w.Context(), producer.Record{Value: []byte("v")}); err != nil {
				w.Fatal(err)
			}
			if took := time.Since(start); took != 0 {
				w.Fatalf("took %v", took)
			}
			w.send(1, 5000)
			w.flush()
			if got := len(w.cluster.Records(topic, 0)); got != 5001 {
				w.Fatalf("%d records arrived", got)
			}
		})
	}
}

// With linger 0 the partition must not be forgotten when it fills its window:
// the open batch is sent when answers come.
func TestLingerZeroWithFullWindow(t *testing.T) {
	inWorld(t, options(producer.WithLinger(0), producer.WithMaxInFlight(1)), func(w *world) {
		release := make(chan struct{})
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Wait: release} })
		w.send(0, 0)
		synctest.Wait()
		w.send(1, 9)
		synctest.Wait()
		if got := len(w.gotAttempts()); got != 1 {
			w.Fatalf("%d batches in flight, limit 1", got)
		}
		close(release)
		synctest.Wait()
		w.checkAcked(0, 9)
		if got := len(w.gotAttempts()); got != 2 {
			w.Fatalf("%d batches, want 2: the nine share one", got)
		}
	})
}

func TestRecordTooLarge(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		// What is left for the value: header and the record's own fields off.
		limit := batch.MaxSize - batch.HeaderSize - batch.RecordSize(&batch.Record{})
		for _, c := range []struct {
			size int
			ok   bool
		}{{limit, true}, {limit + 1, false}, {batch.MaxSize * 2, false}} {
			start := time.Now()
			_, err := w.producer.Send(w.Context(), producer.Record{Value: make([]byte, c.size)})
			if c.ok {
				if err != nil {
					w.Fatalf("%d bytes: %v", c.size, err)
				}
				continue
			}
			if !isError(err, producer.ErrRecordTooLarge) || producer.OutcomeOf(err) != producer.NotDone || time.Since(start) != 0 {
				w.Fatalf("%d bytes: %v after %v", c.size, err, time.Since(start))
			}
		}
		if got := len(w.cluster.Records(topic, 0)); got != 1 {
			w.Fatalf("%d records arrived", got)
		}
	})
}

func TestCompression(t *testing.T) {
	logLine := func(n int) []byte {
		return fmt.Appendf(nil, `{"time":"2026-01-02T03:04:%02d","level":"info","user":%d,"msg":"order accepted"}`, n%60, n)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func(int) []byte {
		b := make([]byte, 80)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for _, codec := range []producer.Codec{producer.NoCompression, producer.LZ4, producer.Zstd, producer.S2} {
		t.Run(codec.String(), func(t *testing.T) {
			inWorld(t, options(producer.WithCompression(codec)), func(w *world) {
				for _, value := range []func(int) []byte{logLine, noise} {
					for n := range 100 {
						w.producer.SendAsync(w.Context(), producer.Record{Value: value(n)}, nil)
					}
				}
				w.flush()
				got := w.gotAttempts()
				if got[0].Header.Codec != codec || got[1].Header.Codec != producer.NoCompression {
					w.Fatalf("codecs %v and %v; random bytes should stay as they are", got[0].Header.Codec, got[1].Header.Codec)
				}
				if codec != producer.NoCompression && len(got[0].Data) > int(got[0].Header.PayloadSize)/2 {
					w.Fatalf("log lines took %d of %d bytes", len(got[0].Data), got[0].Header.PayloadSize)
				}
				if log := w.cluster.Records(topic, 0); len(log) != 200 || !bytes.Equal(log[42].Value, logLine(42)) {
					w.Fatal("records changed on their way")
				}
			})
		})
	}
}

// Many senders share partitions: everything arrives once, callbacks come once
// and in the order of offsets, and each sender's records keep their order.
func TestConcurrentSenders(t *testing.T) {
	const senders, each = 20, 500
	inWorld(t, options(producer.WithCompression(producer.S2)), func(w *world) {
		var mu sync.Mutex
		next := map[uint32]uint64{}
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for n := range each {
					w.producer.SendAsync(w.Context(), producer.Record{Key: []byte{byte(s)}, Value: fmt.Append(nil, n), Partition: int32(s % 3)}, func(ack producer.Ack, err error) {
						mu.Lock()
						defer mu.Unlock()
						if err != nil || ack.Offset != next[ack.Partition] {
							w.Errorf("callback for %d/%d (%v), want offset %d", ack.Partition, ack.Offset, err, next[ack.Partition])
						}
						next[ack.Partition]++
					})
				}
			})
		}
		wg.Wait()
		w.flush()
		progress := map[byte]int{}
		for partition := range 3 {
			for _, e := range w.cluster.Records(topic, partition) {
				if want := fmt.Sprint(progress[e.Key[0]]); string(e.Value) != want {
					w.Fatalf("sender %d: record %s where %s was due", e.Key[0], e.Value, want)
				}
				progress[e.Key[0]]++
			}
		}
		for s := range senders {
			if progress[byte(s)] != each {
				w.Fatalf("sender %d: %d records arrived", s, progress[byte(s)])
			}
		}
	})
}

func TestWindowIsKept(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  producer.Option
		want int
	}{
		{"default", producer.WithMaxInFlight(128), 128},
		{"small", producer.WithMaxInFlight(3), 3},
		{"bytes", producer.WithMaxInFlightBytes(700), 7}, // batches take 100 to 120 bytes
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, options(producer.WithBatchRecords(1), c.opt), func(w *world) {
				release := make(chan struct{})
				w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Wait: release} })
				for range 200 {
					w.producer.SendAsync(w.Context(), producer.Record{Value: make([]byte, 40)}, nil)
				}
				synctest.Wait()
				// The fake holds the first and has received the others.
				if flying, _ := producer.InFlight(w.producer); flying != c.want {
					w.Fatalf("%d batches in flight, want %d", flying, c.want)
				}
				close(release)
				w.flush()
				if got := len(w.cluster.Records(topic, 0)); got != 200 {
					w.Fatalf("%d records arrived", got)
				}
			})
		})
	}
}

func TestSendHonoursContextWhileOnItsWay(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Delay: 10 * time.Second} })
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		_, err := w.producer.Send(ctx, producer.Record{Value: []byte("v")})
		if !isError(err, context.DeadlineExceeded) || producer.OutcomeOf(err) != producer.Unknown {
			w.Fatalf("got %v", err)
		}
		w.flush()
		if w.values(0) != "v" {
			w.Fatal("the record was dropped")
		}
	})
}

func TestRecordWithoutTopic(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.newProducer(producer.WithTopic(""))
		if _, err := p.Send(w.Context(), producer.Record{}); !isError(err, producer.ErrNoTopic) {
			w.Fatalf("got %v", err)
		}
		if ack, err := p.Send(w.Context(), producer.Record{Topic: topic}); err != nil || ack.Topic != topic {
			w.Fatalf("got %v, %v", ack, err)
		}
		if err := p.Close(w.Context()); err != nil {
			w.Fatal(err)
		}
	})
}

func TestErrorTellsWhereWhyAndHow(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.script(once(0, reason.New(reason.InvalidArgument, "the value is not JSON: send JSON")))
		_, err := w.producer.Send(w.Context(), producer.Record{Partition: 1})
		want := "produce to orders/1: INVALID_ARGUMENT: the value is not JSON: send JSON (not done)"
		if err == nil || err.Error() != want {
			w.Fatalf("got  %v\nwant %s", err, want)
		}
		var answer *reason.Error
		if !isError(err, reason.InvalidArgument) || !errors.As(err, &answer) {
			w.Fatalf("%v hides the agent's answer", err)
		}
	})
}
