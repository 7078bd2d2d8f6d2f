package producer_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

const topic = "orders"

// world is a cluster, a producer and a record of what they did to each other.
type world struct {
	*testing.T
	cluster  *producertest.Cluster
	producer *producer.Producer

	mu       sync.Mutex
	attempts []seen
	results  []result
}

// seen is an attempt and when it came.
type seen struct {
	producertest.Attempt
	at time.Duration // since the world began
}

// result is what a callback got for record number n.
type result struct {
	n   int
	ack producer.Ack
	err error
	at  time.Duration
}

// inWorld runs a story in virtual time, on agents a, b and c, with a topic of
// three partitions that all belong to a.
func inWorld(t *testing.T, opts []producer.Option, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, cluster: producertest.New(t, producertest.Agents("a", "b", "c"))}
		w.cluster.CreateTopic(topic, "a", "a", "a")
		w.script(nil)
		w.producer = w.newProducer(opts...)
		t.Cleanup(func() { _ = w.producer.Close(t.Context()) }) // the story checks errors where they matter
		story(w)
	})
}

func options(opts ...producer.Option) []producer.Option { return opts }

// exact makes waits predictable.
func exact() producer.Option {
	policy := producer.DefaultRetryPolicy()
	policy.Jitter = 0
	return producer.WithRetryPolicy(policy)
}

func (w *world) newProducer(opts ...producer.Option) *producer.Producer {
	w.Helper()
	return w.newProducerAt("a", opts...)
}

// newProducerAt makes one that is given some agents.
func (w *world) newProducerAt(agents string, opts ...producer.Option) *producer.Producer {
	w.Helper()
	var target []string
	for agent := range strings.SplitSeq(agents, ",") {
		target = append(target, producertest.Address(agent))
	}
	base := options(producer.WithDialOptions(w.cluster.Dialer()), producer.WithTopic(topic),
		producer.WithPartitioner(producer.Manual()), producer.WithCompression(producer.NoCompression), exact())
	p, err := producer.New(w.Context(), strings.Join(target, ","), append(base, opts...)...)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// epoch is when synctest's time begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func now() time.Duration { return time.Since(epoch) }

// script notes every attempt and asks reply, if there is one, what to do.
func (w *world) script(reply func(a *producertest.Attempt) producertest.Reply) {
	w.cluster.Script(func(a *producertest.Attempt) producertest.Reply {
		w.mu.Lock()
		note := seen{Attempt: *a, at: now()}
		note.Data = bytes.Clone(a.Data)
		w.attempts = append(w.attempts, note)
		w.mu.Unlock()
		if reply == nil {
			return producertest.Reply{}
		}
		return reply(a)
	})
}

// send sends records numbered from first to last to partition 0. The number is
// the value.
func (w *world) send(first, last int) {
	w.sendTo(0, first, last)
}

func (w *world) sendTo(partition int32, first, last int) {
	for n := first; n <= last; n++ {
		w.producer.SendAsync(w.Context(), producer.Record{Value: []byte(strconv.Itoa(n)), Partition: partition}, w.callback(n))
	}
}

func (w *world) callback(n int) func(producer.Ack, error) {
	return func(ack producer.Ack, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.results = append(w.results, result{n: n, ack: ack, err: err, at: now()})
	}
}

func (w *world) flush() {
	w.Helper()
	if err := w.producer.Flush(w.Context()); err != nil {
		w.Fatalf("flush: %v", err)
	}
}

func (w *world) gotResults() []result {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]result(nil), w.results...)
}

func (w *world) gotAttempts() []seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]seen(nil), w.attempts...)
}

// values returns what a partition holds, as "0 1 2".
func (w *world) values(partition int) string {
	var out []byte
	for i, e := range w.cluster.Records(topic, partition) {
		if i > 0 {
			out = append(out, ' ')
		}
		out = append(out, e.Value...)
	}
	return string(out)
}

func numbers(first, last int) string {
	var s strings.Builder
	s.WriteString(strconv.Itoa(first))
	for n := first + 1; n <= last; n++ {
		s.WriteString(" " + strconv.Itoa(n))
	}
	return s.String()
}

// checkAcked checks that records first to last were acknowledged, in that
// order, once each, at the offsets at which partition 0 holds them, and that
// it holds nothing else.
func (w *world) checkAcked(first, last int) {
	w.Helper()
	results := w.gotResults()
	if len(results) != last-first+1 {
		w.Fatalf("%d callbacks, want %d: %v", len(results), last-first+1, results)
	}
	log := w.cluster.Records(topic, 0)
	for i, r := range results {
		if r.err != nil {
			w.Fatalf("record %d failed: %v", r.n, r.err)
		}
		if r.n != first+i {
			w.Fatalf("callback %d is record %d's, want %d's", i, r.n, first+i)
		}
		if r.ack.Offset >= uint64(len(log)) || string(log[r.ack.Offset].Value) != strconv.Itoa(r.n) {
			w.Fatalf("record %d is not at offset %d", r.n, r.ack.Offset)
		}
	}
	if got, want := w.values(0), numbers(first, last); got != want {
		w.Fatalf("the log holds %s\nwant %s", got, want)
	}
}

// checkFailed checks one result.
func checkFailed(t *testing.T, r result, n int, outcome producer.Outcome, cause error) {
	t.Helper()
	if r.n != n || r.err == nil || producer.OutcomeOf(r.err) != outcome || !isError(r.err, cause) {
		t.Fatalf("record %d: %v (%v), want record %d: %v (%v)", r.n, r.err, producer.OutcomeOf(r.err), n, cause, outcome)
	}
}

// identities returns "producer/sequence" of every attempt, with producers
// named A, B, ... in the order in which they first came.
func (w *world) identities() []string {
	names := map[uint64]string{}
	var ids []string
	for _, a := range w.gotAttempts() {
		name := names[a.Header.ProducerID]
		if name == "" {
			name = string(rune('A' + len(names)))
			names[a.Header.ProducerID] = name
		}
		ids = append(ids, fmt.Sprintf("%s%d", name, a.Header.Sequence))
	}
	return ids
}

// once answers with err the first attempt that has that sequence.
func once(sequence uint64, err *reason.Error) func(*producertest.Attempt) producertest.Reply {
	var done atomic.Bool
	return func(a *producertest.Attempt) producertest.Reply {
		if a.Header.Sequence == sequence && !done.Swap(true) {
			return producertest.Reply{Err: err}
		}
		return producertest.Reply{}
	}
}

// firstID is the producer id that came first.
func (w *world) firstID() uint64 { return w.gotAttempts()[0].Header.ProducerID }

// flushFailing flushes and expects that failure.
func (w *world) flushFailing(want error) {
	w.Helper()
	if err := w.producer.Flush(w.Context()); !isError(err, want) {
		w.Fatalf("flush: %v, want %v", err, want)
	}
}
