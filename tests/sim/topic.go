package sim

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/history"
)

// topic is a topic from its making to its deletion, with those who send to it.
type topic struct {
	w          *World
	name       string
	partitions atomic.Uint32 // as many as there are for certain
	exists     bool          // used by the playing goroutine only; so are the next two
	doubtful   bool
	wanted     uint32 // partitions, when all is well
	history    *history.History
	keeps      retention
	patience   time.Duration // of its clients, at their end
	stop       chan struct{}
	senders    sync.WaitGroup

	mu  sync.Mutex
	ops []op
}

// op is what a client did to a partition and saw of it, between two ticks of the
// world's clock. One that appended without hearing of it has no end.
type op struct {
	client     int
	read       bool
	id         history.ID
	offset     uint64
	known      bool // the offset
	from, till int64
	sent       time.Time // what was appended
}

func (w *World) newTopic(name string, partitions uint32) *topic {
	t := &topic{w: w, name: name, wanted: partitions, history: history.New(), patience: patience, stop: make(chan struct{})}
	t.partitions.Store(partitions)
	w.topics = append(w.topics, t)
	return t
}

// create makes the topic, or finds that it is made: a creation whose answer was
// lost is no failure.
func (w *World) create(t *topic, limit time.Duration) bool {
	t.exists = w.try(limit, reason.TopicExists, func(ctx context.Context, c streamhousev1.TopicServiceClient) error {
		_, err := c.CreateTopic(ctx, &streamhousev1.CreateTopicRequest{Name: t.name, PartitionCount: t.partitions.Load()})
		return err
	})
	return t.exists
}

// remove deletes the topic; false if it is not known whether it is deleted.
func (w *World) remove(t *topic, limit time.Duration) bool {
	t.exists = false
	return w.try(limit, reason.UnknownTopic, func(ctx context.Context, c streamhousev1.TopicServiceClient) error {
		_, err := c.DeleteTopic(ctx, &streamhousev1.DeleteTopicRequest{Name: t.name})
		return err
	})
}

// try calls one agent after the other until one succeeds, or says that it is
// done.
func (w *World) try(limit time.Duration, done error, call func(context.Context, streamhousev1.TopicServiceClient) error) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for ctx.Err() == nil {
		for _, n := range w.living() {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			err := call(ctx, streamhousev1.NewTopicServiceClient(w.conn(n.address)))
			cancel()
			if err == nil || errors.Is(reason.From(err), done) {
				return true
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

// join adds a client that sends to the topic until its end.
func (t *topic) join() {
	w := t.w
	number := w.plot.nextClient()
	d := newDice(w.plot.seed, 3, uint64(number))
	p := w.producer(t, d, number)
	every := d.between(w.plot.every/2, w.plot.every*2)
	t.senders.Go(func() {
		defer closeWithin(p, t.patience)
		for {
			select {
			case <-t.stop:
				return
			case <-time.After(d.evenly(every/2, every*3/2)):
			}
			t.send(p, number, uint32(d.IntN(int(t.partitions.Load()))), func() {})
		}
	})
}

// patience is how long a producer has at its end for what it has not delivered.
const patience = time.Minute

func closeWithin(p *producer.Producer, limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_ = p.Close(ctx) // the history has what it says
}

func clientName(number int) string { return "client-" + string(rune('a'+number%26)) }

func (w *World) producer(t *topic, d dice, number int) *producer.Producer {
	options := []producer.Option{
		producer.WithTopic(t.name), producer.WithPartitioner(producer.Manual()), producer.WithCompression(producer.NoCompression),
		producer.WithDialOptions(grpc.WithContextDialer(w.net.dialer(clientName(number), nil)), grpc.WithWriteBufferSize(4<<10), grpc.WithReadBufferSize(4<<10)),
		producer.WithLinger(d.between(time.Millisecond, 100*time.Millisecond)), producer.WithBatchRecords(1 + d.IntN(5)),
		producer.WithMaxInFlight(1 + d.IntN(16)), producer.WithRequestTimeout(d.between(2*time.Second, 40*time.Second)),
		producer.WithDeliveryTimeout(d.between(5*time.Second, time.Minute)), producer.WithDialTimeout(d.between(time.Second, 10*time.Second)),
	}
	if d.chance(50) {
		options = append(options, producer.WithoutHedging())
	}
	p, err := producer.New(context.Background(), entrance, options...)
	if err != nil {
		panic(err) // all that is drawn is valid
	}
	return p
}

// send sends a client's next record, and calls done when it was acknowledged.
func (t *topic) send(p *producer.Producer, client int, partition uint32, done func()) {
	id := t.history.Send(uint32(client), partition)
	note := t.history.Callback(id)
	from, sent := t.w.clock.Add(1), time.Now()
	p.SendAsync(context.Background(), producer.Record{Value: id.Value(history.MinValue + int(id.Number%20)), Partition: int32(partition)},
		func(ack producer.Ack, err error) {
			note(ack, err)
			o := op{client: client, id: id, offset: ack.Offset, known: err == nil, from: from, till: t.w.clock.Add(1), sent: sent}
			if err != nil {
				if producer.OutcomeOf(err) == producer.NotDone {
					return
				}
				o.till = math.MaxInt64
			} else {
				done()
			}
			t.note(o)
		})
}

func (t *topic) note(o op) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ops = append(t.ops, o)
}

// opsOf is what was done to a partition.
func (t *topic) opsOf(partition uint32) []op {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ops []op
	for _, o := range t.ops {
		if o.id.Partition == partition {
			ops = append(ops, o)
		}
	}
	return ops
}

// end stops the clients and waits until everything that they sent is resolved.
func (t *topic) end() {
	select {
	case <-t.stop:
	default:
		close(t.stop)
	}
	t.senders.Wait()
}

// probe sends a record to every partition: each is acknowledged in time, for
// there is no fault left.
func (w *World) probe() {
	began := time.Now()
	for _, t := range w.topics {
		if !t.exists {
			continue
		}
		number := w.plot.nextClient()
		p := w.producer(t, newDice(w.plot.seed, 3, uint64(number)), number)
		missing := make([]bool, t.partitions.Load())
		var mu sync.Mutex
		var all sync.WaitGroup
		for n := range t.partitions.Load() {
			missing[n] = true
			all.Add(1)
			w.work.Go(func() {
				defer all.Done()
				t.probe(p, number, n, began.Add(servedWithin), func() {
					mu.Lock()
					defer mu.Unlock()
					missing[n] = false
				})
			})
		}
		all.Wait()
		closeWithin(p, patience)
		mu.Lock()
		for n, is := range missing {
			if is {
				w.violate("unserved: nothing can be written to %s/%d %s after the last fault", t.name, n, servedWithin)
			}
		}
		mu.Unlock()
	}
}

// probe sends records to a partition until one is acknowledged.
func (t *topic) probe(p *producer.Producer, client int, partition uint32, until time.Time, done func()) {
	acked := make(chan struct{}, 1)
	for time.Now().Before(until) {
		t.send(p, client, partition, func() {
			select {
			case acked <- struct{}{}:
			default:
			}
		})
		select {
		case <-acked:
			done()
			return
		case <-time.After(3 * time.Second):
		}
	}
}
