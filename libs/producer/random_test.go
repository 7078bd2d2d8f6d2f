package producer_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// TestRandomHistories runs producers against agents that fail in every way the
// contract allows, and checks each history for loss, doubles, order and wrong
// offsets. The seed decides what happens, but not how goroutines interleave:
// run a seed that failed many times.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	n := histories
	if testing.Short() {
		n = min(n, 200)
	}
	for seed := range uint64(n) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newHistory(t, seed).run() })
			if t.Failed() {
				t.Logf("seed %d: run it with -run 'TestRandomHistories/^%d$' -count 100", seed, seed)
			}
		})
	}
}

const partitions = 3

type history struct {
	t       *testing.T
	cluster *producertest.Cluster

	mu      sync.Mutex
	rng     *rand.Rand
	patient bool // nothing may run into the delivery timeout
	results [partitions][]result
	sent    [partitions]int
}

var agents = []string{"a", "b", "c"}

func newHistory(t *testing.T, seed uint64) *history {
	t.Helper()
	h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 42)), cluster: producertest.New(t, producertest.Agents(agents...))}
	h.cluster.CreateTopic(topic, h.agent(), h.agent(), h.agent())
	h.cluster.Script(h.reply)
	return h
}

func (h *history) intN(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rng.IntN(n)
}

func (h *history) agent() string { return agents[h.intN(len(agents))] }

func (h *history) millis(n int) time.Duration { return time.Duration(h.intN(n)+1) * time.Millisecond }

// options differ from history to history, so that all of them meet all faults.
func (h *history) options() []producer.Option {
	deliveryTimeout := []time.Duration{5 * time.Second, 2 * time.Minute}[h.intN(2)]
	h.patient = deliveryTimeout > time.Minute
	return []producer.Option{
		producer.WithDialOptions(h.cluster.Dialer()), producer.WithTopic(topic), producer.WithPartitioner(producer.Manual()),
		producer.WithBatchRecords(1 + h.intN(5)),
		producer.WithLinger(time.Duration(h.intN(3)*7) * time.Millisecond),
		[]producer.Option{producer.WithMetadataMaxAge(time.Second), producer.WithAdaptiveLinger()}[h.intN(2)],
		producer.WithCompression([]producer.Codec{producer.NoCompression, producer.S2}[h.intN(2)]),
		producer.WithMaxInFlight([]int{1, 3, 128}[h.intN(3)]),
		producer.WithMaxBufferedRecords([]int{10, 1 << 20}[h.intN(2)]),
		producer.WithConnections(1 + h.intN(2)),
		producer.WithRequestTimeout([]time.Duration{2 * time.Second, 30 * time.Second}[h.intN(2)]),
		producer.WithDeliveryTimeout(deliveryTimeout),
		[]producer.Option{producer.WithoutHedging(), producer.WithHedging(time.Second, 0.02), producer.WithHedging(50*time.Millisecond, 1)}[h.intN(3)],
		[]producer.Option{producer.WithoutRetryBudget(), producer.WithRetryBudget(0.2, 10)}[h.intN(2)],
		producer.WithCircuitBreaker([]producer.CircuitBreakerPolicy{
			producer.DefaultCircuitBreakerPolicy(), {Failures: 1, OpenFor: 300 * time.Millisecond}, {Failures: 2, OpenFor: 3 * time.Second},
		}[h.intN(3)]),
	}
}

func (h *history) run() {
	p, err := producer.New(h.t.Context(), h.cluster.Target(), h.options()...)
	if err != nil {
		h.t.Fatal(err)
	}
	var senders, chaos sync.WaitGroup
	for partition := range partitions {
		senders.Go(func() { h.send(p, partition) })
	}
	chaos.Go(h.disturb)
	senders.Wait()
	chaos.Wait()
	_ = p.Close(h.t.Context()) // that some records failed is part of the history
	h.cluster.Stop()           // waits for batches that come in late
	h.check()
	if records, bytes := producer.Buffered(p); records != 0 || bytes != 0 {
		h.t.Errorf("%d records and %d bytes are still counted", records, bytes)
	}
}

func (h *history) send(p *producer.Producer, partition int) {
	for n := range 60 {
		h.mu.Lock()
		h.sent[partition]++
		h.mu.Unlock()
		p.SendAsync(h.t.Context(), producer.Record{Value: []byte(strconv.Itoa(n)), Partition: int32(partition)}, func(ack producer.Ack, err error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.results[partition] = append(h.results[partition], result{n: n, ack: ack, err: err})
		})
		if h.intN(4) == 0 {
			time.Sleep(h.millis(300))
		}
	}
}

// disturb moves partitions, kills, drains and isolates agents, and loses
// connections.
func (h *history) disturb() {
	for range 6 {
		time.Sleep(h.millis(1500))
		switch agent := h.agent(); h.intN(7) {
		case 0:
			h.cluster.Kill(agent)
			time.Sleep(h.millis(1000))
			h.cluster.Start(agent)
		case 1:
			h.cluster.Drain(agent)
			time.Sleep(h.millis(1000))
			h.cluster.Start(agent)
		case 2:
			h.cluster.Isolate(agent)
			time.Sleep(h.millis(4000)) // longer than the shorter request timeout, or not
			h.cluster.Rejoin(agent)
		case 3:
			h.cluster.Disconnect(agent)
		default:
			h.cluster.Move(topic, h.intN(partitions), agent)
		}
	}
}

// troubled is how long agents fail. Whatever is left then has time enough to
// get through before the longer delivery timeout.
const troubled = 20 * time.Second

// reply lets most batches pass.
func (h *history) reply(a *producertest.Attempt) producertest.Reply {
	if a.Late {
		// What a stream that has ended left behind may be appended much later.
		return producertest.Reply{Append: h.intN(2) == 0, Delay: h.millis(5000), Silent: true}
	}
	if now() > troubled || h.intN(5) > 0 {
		return producertest.Reply{Delay: h.millis(40)}
	}
	return h.fault(a)
}

// fault breaks things, but never the contract: a reason that means 'not
// appended' is not given to a batch that is.
func (h *history) fault(a *producertest.Attempt) producertest.Reply {
	appended := h.intN(2) == 0
	switch h.intN(14) {
	case 0:
		return producertest.Reply{Err: reason.New(reason.Overloaded, "busy").After(h.millis(200))}
	case 1:
		return producertest.Reply{Err: reason.New(reason.StorageFailed, "store"), Append: appended}
	case 2:
		return producertest.Reply{Err: reason.New(reason.Fenced, "fenced"), Append: appended}
	case 3:
		return producertest.Reply{Silent: true, Append: appended}
	case 4:
		return producertest.Reply{Break: producertest.Status(codes.Unavailable, "reset"), Append: appended}
	case 5:
		return producertest.Reply{Break: producertest.Status(codes.Internal, "crash"), Append: appended}
	case 6:
		return producertest.Reply{Break: producertest.Status(codes.ResourceExhausted, "message larger than max")}
	case 7:
		return producertest.Reply{Err: reason.New([]reason.Reason{reason.NotOwner, reason.LeaseExpired, reason.Draining}[h.intN(3)], "moved")}
	case 8:
		return producertest.Reply{Err: reason.New(reason.InvalidArgument, "bad")}
	case 9:
		return producertest.Reply{Err: reason.New([]reason.Reason{reason.SequenceTooOld, reason.SequenceConflict}[h.intN(2)], "renew"), Append: appended}
	case 10:
		if a.Header.Sequence > 0 {
			return producertest.Reply{Err: reason.New(reason.UnknownProducer, "forgotten")}
		}
	case 11:
		return producertest.Reply{Reset: true, Append: appended}
	case 12: // the stream ends after some of the batches that it brought
		if a.Number%3 == 0 {
			return producertest.Reply{Break: producertest.Status(codes.Unavailable, "partial"), Append: appended}
		}
	}
	return producertest.Reply{Delay: h.millis(3000)}
}

func (h *history) check() {
	for partition := range partitions {
		where := map[string][]uint64{}
		for _, r := range h.cluster.Records(topic, partition) {
			where[string(r.Value)] = append(where[string(r.Value)], r.Offset)
		}
		if got := len(h.results[partition]); got != h.sent[partition] {
			h.t.Errorf("partition %d: %d callbacks for %d records", partition, got, h.sent[partition])
		}
		next := uint64(0)
		for i, r := range h.results[partition] {
			if r.n != i {
				h.t.Fatalf("partition %d: callback %d is record %d's", partition, i, r.n)
			}
			if err := verdict(r, where[strconv.Itoa(r.n)], next); err != nil {
				h.t.Errorf("partition %d, record %d: %v", partition, r.n, err)
			}
			if h.patient && isError(r.err, producer.ErrDeliveryTimeout) {
				h.t.Errorf("partition %d, record %d was forgotten: %v", partition, r.n, r.err)
			}
			if r.err == nil {
				next = r.ack.Offset + 1
			}
		}
	}
}

// verdict compares what a callback was told with where the record stands.
func verdict(r result, offsets []uint64, next uint64) error {
	outcome := producer.OutcomeOf(r.err)
	switch {
	case len(offsets) > 1:
		return fmt.Errorf("doubled: at %v", offsets)
	case outcome == producer.Done && (len(offsets) == 0 || offsets[0] != r.ack.Offset):
		return fmt.Errorf("acknowledged at %d, and it is at %v", r.ack.Offset, offsets)
	case outcome == producer.Done && r.ack.Offset < next:
		return fmt.Errorf("acknowledged at %d, before an earlier record", r.ack.Offset)
	case outcome == producer.NotDone && len(offsets) > 0:
		return fmt.Errorf("it is at %v, but it was said not to be done: %w", offsets, r.err)
	}
	return nil
}
