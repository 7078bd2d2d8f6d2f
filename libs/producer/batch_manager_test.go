package producer_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/batch"
)

func newBuffer(t *testing.T, policy producer.BatchPolicy) *producer.BatchBuffer {
	t.Helper()
	b, err := producer.NewBatchBuffer(topic, 7, policy)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newManager(t *testing.T, policy producer.BatchPolicy) *producer.BatchManager {
	t.Helper()
	m, err := producer.NewBatchManager(policy)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func record(s string) producer.Record { return producer.Record{Value: []byte(s)} }

// text is a batch's records as "a b c".
func text(b *producer.Batch) string {
	var values []string
	for rec := range b.Records() {
		values = append(values, string(rec.Value))
	}
	return strings.Join(values, " ")
}

// texts is batches as "orders/0: a b, orders/1: c".
func texts(batches []*producer.Batch) string {
	var all []string
	for _, b := range batches {
		all = append(all, fmt.Sprintf("%s/%d: %s", b.Topic, b.Partition, text(b)))
	}
	return strings.Join(all, ", ")
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// The presets are the seed's.
func TestBatchPolicies(t *testing.T) {
	for _, c := range []struct{ got, want producer.BatchPolicy }{
		{producer.HighThroughputBatchPolicy(), producer.BatchPolicy{Records: 1000, Bytes: 10 << 20, Linger: 500 * time.Millisecond}},
		{producer.LowLatencyBatchPolicy(), producer.BatchPolicy{Records: 10, Bytes: 256 << 10, Linger: 10 * time.Millisecond}},
		{producer.DefaultBatchPolicy(), producer.BatchPolicy{Records: 100, Bytes: 1 << 20, Linger: 100 * time.Millisecond}},
	} {
		check(t, "preset", c.got, c.want)
		p, err := producer.New(t.Context(), "localhost:1", producer.WithBatchPolicy(c.got))
		if err != nil {
			t.Fatal(err)
		}
		_ = p.Close(t.Context()) // nothing was sent
	}
	for says, policy := range map[string]producer.BatchPolicy{
		"BatchPolicy.Records is 0: it must be from 1": {Bytes: 1},
		"BatchPolicy.Bytes is 15728641":               {Records: 1, Bytes: 15<<20 + 1},
		"BatchPolicy.Linger is -1ns":                  {Records: 1, Bytes: 1, Linger: -1},
	} {
		_, err := producer.NewBatchManager(policy)
		_, err2 := producer.NewBatchBuffer(topic, 0, policy)
		if err == nil || err2 == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err2.Error(), says) {
			t.Errorf("got %v and %v, want %q", err, err2, says)
		}
	}
}

// The size counts key, value, headers and what surrounds them, and is never
// less than what the record takes in either encoding.
func TestBatchRecordSize(t *testing.T) {
	headers := []producer.Header{{Key: "trace", Value: []byte("12")}, {Key: "n"}}
	for _, c := range []struct {
		rec  producer.Record
		want int
	}{
		{producer.Record{}, 23},
		{producer.Record{Value: make([]byte, 100)}, 123},
		{producer.Record{Key: make([]byte, 10), Value: make([]byte, 100)}, 133},
		{producer.Record{Key: make([]byte, 10), Headers: headers}, 33 + 17 + 11},
	} {
		check(t, "RecordSize", producer.RecordSize(c.rec), c.want)
		b := newBuffer(t, producer.DefaultBatchPolicy())
		for range 3 {
			if _, err := b.Append(c.rec); err != nil {
				t.Fatal(err)
			}
		}
		check(t, "Size", b.Size(), batch.HeaderSize+3*c.want)
		full := b.Drain()
		if got := proto.Size(full.Request(1)); got > full.Size() {
			t.Errorf("the request has %d bytes, more than %d", got, full.Size())
		}
		if got := len(full.Encode(producer.NoCompression, 1)); got > full.Size() {
			t.Errorf("the batch has %d bytes, more than %d", got, full.Size())
		}
	}
}

func TestBatchBufferAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(t, producer.DefaultBatchPolicy())
		check(t, "Due of an empty buffer", b.Due(), time.Time{})
		bytes := []byte("x")
		for n := range 3 {
			bytes[0] = byte('a' + n) // it copies
			ready, err := b.Append(producer.Record{Topic: "ignored", Partition: 9, Key: bytes, Value: bytes, Headers: []producer.Header{{Key: "h", Value: bytes}}})
			if err != nil || ready != nil {
				t.Fatalf("got %v, %v", ready, err)
			}
			time.Sleep(time.Millisecond)
		}
		check(t, "Len", b.Len(), 3)
		check(t, "Due", b.Due(), epoch.Add(100*time.Millisecond).Local())
		n := 0
		for rec := range b.Drain().Records() {
			want := string(rune('a' + n))
			if string(rec.Key) != want || string(rec.Value) != want || string(rec.Headers[0].Value) != want || rec.Headers[0].Key != "h" ||
				rec.Topic != topic || rec.Partition != 7 || !rec.Timestamp.Equal(epoch.Add(time.Duration(n)*time.Millisecond)) {
				t.Errorf("record %d is %+v", n, rec)
			}
			n++
		}
		check(t, "records", n, 3)
		_, err := b.Append(producer.Record{Value: make([]byte, batch.MaxSize)})
		if !isError(err, producer.ErrRecordTooLarge) || producer.OutcomeOf(err) != producer.NotDone || b.Len() != 0 {
			t.Fatalf("got %v", err)
		}
	})
}

func TestBatchBufferFlushOnSize(t *testing.T) {
	b := newBuffer(t, producer.BatchPolicy{Records: 3, Bytes: 1 << 20, Linger: time.Hour})
	for n := range 7 {
		ready, err := b.Append(record(fmt.Sprint(n)))
		if err != nil {
			t.Fatal(err)
		}
		want := map[int]string{2: "orders/7: 0 1 2", 5: "orders/7: 3 4 5"}[n]
		check(t, fmt.Sprint("after record ", n), texts(ready), want)
	}
	check(t, "Len", b.Len(), 1)
}

// A record that does not fit closes the batch before it. One whose like would
// not fit beside it, or that is larger than a batch, travels alone and at once.
func TestBatchBufferFlushOnBytes(t *testing.T) {
	b := newBuffer(t, producer.BatchPolicy{Records: 1000, Bytes: 1000, Linger: time.Hour})
	small, medium, large, huge := strings.Repeat("s", 100), strings.Repeat("m", 400), strings.Repeat("l", 700), strings.Repeat("h", 5000)
	for i, c := range []struct {
		value string
		want  []string
	}{
		{small, nil},
		{small, nil},
		{large, []string{small + " " + small, large}},
		{huge, []string{huge}},
		{medium, nil},
		{small, nil},
		{medium, []string{medium + " " + small}},
		{huge, []string{medium, huge}},
		{small, nil},
	} {
		ready, err := b.Append(record(c.value))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, closed := range ready {
			got = append(got, text(closed))
		}
		if !slices.Equal(got, c.want) {
			t.Fatalf("step %d: got %v, want %v", i, got, c.want)
		}
	}
	check(t, "Len", b.Len(), 1)
}

func TestBatchBufferDrain(t *testing.T) {
	b := newBuffer(t, producer.DefaultBatchPolicy())
	if got := b.Drain(); got != nil {
		t.Fatalf("an empty buffer gave %v", got)
	}
	for round := range uint64(2) {
		for n := range 2 {
			if _, err := b.Append(record(fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
		}
		got := b.Drain()
		check(t, "batch", text(got), "0 1")
		check(t, "Sequence", got.Sequence, round)
		check(t, "Len", b.Len(), 0)
		check(t, "Size", b.Size(), 0)
	}
}

// Both forms hold the same records; encoding again changes the id only.
func TestBatchForms(t *testing.T) {
	b := newBuffer(t, producer.DefaultBatchPolicy())
	for n := range 50 {
		rec := producer.Record{Value: []byte(strings.Repeat("again ", 10) + fmt.Sprint(n)), Timestamp: epoch}
		if n == 3 {
			rec.Key, rec.Headers = []byte{}, []producer.Header{{Key: "h", Value: []byte("v")}, {Key: "null"}}
		}
		if _, err := b.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
	out := b.Drain()
	want := text(out)
	for _, id := range []uint64{5, 6} {
		var d batch.Decoder
		h, err := d.Reset(out.Encode(producer.Zstd, id))
		if err != nil || h.ProducerID != id || h.Sequence != 0 || h.Records != 50 || h.Codec != batch.Zstd {
			t.Fatalf("got %+v, %v", h, err)
		}
		check(t, "records", text(out), want)
	}
	req := out.Request(9)
	if req.GetTopic() != topic || req.GetPartition() != 7 || req.GetProducerId() != 9 || req.Sequence == nil || len(req.GetRecords()) != 50 {
		t.Fatalf("got %v", req)
	}
	r := req.GetRecords()[3]
	if r.Key == nil || len(r.GetHeaders()) != 2 || r.GetHeaders()[1].Value != nil || r.GetTimestamp() != epoch.UnixMilli() || req.GetRecords()[2].Key != nil {
		t.Fatalf("got %v", r)
	}
	if out.Request(0).ProducerId != nil {
		t.Fatal("a request without idempotence has a producer id")
	}
}

func TestBatchManagerAppend(t *testing.T) {
	m := newManager(t, producer.BatchPolicy{Records: 2, Bytes: 1 << 20, Linger: time.Hour})
	for _, c := range []struct {
		partition uint32
		value     string
		want      string
	}{{0, "a", ""}, {1, "b", ""}, {0, "c", "orders/0: a c"}, {0, "d", ""}, {1, "e", "orders/1: b e"}} {
		ready, err := m.Append(topic, c.partition, record(c.value))
		if err != nil {
			t.Fatal(err)
		}
		check(t, "after "+c.value, texts(ready), c.want)
	}
	if _, err := m.Append(topic, 0, producer.Record{Value: make([]byte, 16<<20)}); !isError(err, producer.ErrRecordTooLarge) {
		t.Fatalf("got %v", err)
	}
	check(t, "what is left", texts(m.FlushAll()), "orders/0: d")
}

// Only what has waited long enough is ready, oldest first.
func TestBatchManagerReadyBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, producer.DefaultBatchPolicy())
		check(t, "NextDue", m.NextDue(), time.Time{})
		for n := range uint32(3) {
			mustAppend(t, m, 2-n, fmt.Sprint(n))
			time.Sleep(30 * time.Millisecond)
		}
		mustAppend(t, m, 2, "later") // it joins, and does not make the batch younger
		check(t, "after 90 ms", texts(m.ReadyBatches()), "")
		check(t, "NextDue", m.NextDue(), epoch.Add(100*time.Millisecond).Local())
		time.Sleep(45 * time.Millisecond)
		check(t, "after 135 ms", texts(m.ReadyBatches()), "orders/2: 0 later, orders/1: 1")
		time.Sleep(time.Until(m.NextDue()))
		check(t, "when due", texts(m.ReadyBatches()), "orders/0: 2")
	})
}

func mustAppend(t *testing.T, m *producer.BatchManager, partition uint32, s string) []*producer.Batch {
	t.Helper()
	ready, err := m.Append(topic, partition, record(s))
	if err != nil {
		t.Fatal(err)
	}
	return ready
}

func TestBatchManagerFlushAll(t *testing.T) {
	m := newManager(t, producer.DefaultBatchPolicy())
	for n := range uint32(5) {
		mustAppend(t, m, n%3, fmt.Sprint(n))
	}
	check(t, "flushed", texts(m.FlushAll()), "orders/0: 0 3, orders/1: 1 4, orders/2: 2")
	check(t, "flushed again", texts(m.FlushAll()), "")
	check(t, "NextDue", m.NextDue(), time.Time{})
}

// A manager drives the unary call: what comes out of it, sent by whoever owns
// it, is what the log holds.
func TestBatchManager(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		m := newManager(w.T, producer.DefaultBatchPolicy())
		logs := map[uint32][]string{}
		take := func(batches []*producer.Batch) {
			for _, b := range batches {
				if want := uint64((len(logs[b.Partition]) + 99) / 100); b.Sequence != want {
					w.Fatalf("sequence %d, want %d", b.Sequence, want)
				}
				for _, r := range b.Request(1).GetRecords() {
					logs[b.Partition] = append(logs[b.Partition], string(r.GetValue()))
				}
			}
		}
		for n := range 950 {
			take(mustAppend(w.T, m, uint32(n%3), fmt.Sprint(n)))
		}
		time.Sleep(100 * time.Millisecond)
		take(m.ReadyBatches())
		for partition := range uint32(3) {
			for i, got := range logs[partition] {
				check(w.T, "value", got, fmt.Sprint(i*3+int(partition)))
			}
		}
		check(w.T, "records", len(logs[0])+len(logs[1])+len(logs[2]), 950)
	})
}

// Whichever limit comes first closes the batch.
func TestBatchManagerFlushTriggers(t *testing.T) {
	m := newManager(t, producer.BatchPolicy{Records: 5, Bytes: 1 << 20, Linger: time.Hour})
	var sizes []int
	for range 12 {
		for _, b := range mustAppend(t, m, 0, "v") {
			sizes = append(sizes, b.Len())
		}
	}
	check(t, "batches", fmt.Sprint(sizes), "[5 5]")
	check(t, "before the linger", len(m.ReadyBatches()), 0)
	check(t, "by hand", m.FlushAll()[0].Len(), 2)
}

func TestBatchManagerBytesTrigger(t *testing.T) {
	m := newManager(t, producer.BatchPolicy{Records: 1000, Bytes: 10 << 10, Linger: time.Hour})
	for n := 1; ; n++ {
		ready := mustAppend(t, m, 0, strings.Repeat("x", 1000))
		if len(ready) == 0 {
			continue
		}
		// 56 + 9 * 1023 is 9263: the next would make it 10286, above 10240.
		check(t, "records", n, 9)
		check(t, "bytes", ready[0].Size(), 9263)
		return
	}
}

func TestBatchManagerTimeTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, producer.BatchPolicy{Records: 1000, Bytes: 1 << 20, Linger: 50 * time.Millisecond})
		mustAppend(t, m, 0, "a")
		time.Sleep(50*time.Millisecond - 1)
		check(t, "one nanosecond early", texts(m.ReadyBatches()), "")
		time.Sleep(time.Nanosecond)
		check(t, "in time", texts(m.ReadyBatches()), "orders/0: a")
		check(t, "once", texts(m.ReadyBatches()), "")
	})
}

func TestBatchManagerMultiPartition(t *testing.T) {
	m := newManager(t, producer.BatchPolicy{Records: 100, Bytes: 1 << 20, Linger: time.Hour})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var batches []*producer.Batch
	for g := range 8 { // two goroutines for each of four partitions, of two topics
		wg.Go(func() {
			for n := range 1000 {
				ready, err := m.Append([]string{"x", "y"}[g%2], uint32(g/2%2), record(fmt.Sprintf("%d-%d", g, n)))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				batches = append(batches, ready...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	check(t, "batches", len(batches), 80)
	slices.SortFunc(batches, func(a, b *producer.Batch) int { return int(a.Sequence) - int(b.Sequence) })
	next := map[string]int{}
	for _, b := range batches {
		for rec := range b.Records() {
			sender, n, _ := strings.Cut(string(rec.Value), "-")
			check(t, "of sender "+sender, n, fmt.Sprint(next[sender]))
			next[sender]++
		}
	}
	check(t, "senders", len(next), 8)
}

// The bug this catches: a thousand partitions hold a thousand times the limit
// of one.
func TestBatchManagerMemoryIsBounded(t *testing.T) {
	m := newManager(t, producer.BatchPolicy{Records: 1000, Bytes: 15 << 20, Linger: time.Hour})
	mib := strings.Repeat("x", 1<<20)
	taken, handedOut := 0, 0
	for n := range uint32(100) {
		taken += len(mib)
		for _, b := range mustAppend(t, m, n, mib) {
			handedOut += b.Size()
		}
		if taken-handedOut > 64<<20 {
			t.Fatalf("%d bytes are held", taken-handedOut)
		}
	}
	check(t, "open batches", len(m.FlushAll()), 63)
}

// FuzzBatchManager: no batch exceeds any limit, nothing is lost or doubled, and
// the order of every partition is kept. The input is a policy and then steps.
func FuzzBatchManager(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		seed := make([]byte, 8+rng.IntN(600))
		for i := range seed {
			seed[i] = byte(rng.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 8 {
			return
		}
		policy := producer.BatchPolicy{
			Records: 1 + int(in[0])%20,
			Bytes:   1 + int(binary.LittleEndian.Uint16(in[1:])),
			Linger:  time.Duration(in[3]) * time.Millisecond,
		}
		synctest.Test(t, func(t *testing.T) { fuzzManager(t, policy, in[4:]) })
	})
}

func fuzzManager(t *testing.T, policy producer.BatchPolicy, steps []byte) {
	t.Helper()
	m := newManager(t, policy)
	sent, got := map[uint32][]string{}, map[uint32][]string{}
	sequence := map[uint32]uint64{}
	take := func(batches []*producer.Batch) {
		for _, b := range batches {
			encoded := b.Encode(producer.NoCompression, 1)
			if b.Len() > policy.Records || b.Len() == 0 || b.Len() > 1 && (b.Size() > policy.Bytes || len(encoded) > policy.Bytes) || len(encoded) > batch.MaxSize {
				t.Fatalf("%d records of %d bytes, %d encoded; the policy is %+v", b.Len(), b.Size(), len(encoded), policy)
			}
			check(t, "sequence", b.Sequence, sequence[b.Partition])
			sequence[b.Partition]++
			for rec := range b.Records() {
				got[b.Partition] = append(got[b.Partition], string(rec.Value))
			}
		}
	}
	for i := 0; i+3 <= len(steps); i += 3 {
		partition, size := uint32(steps[i]%5), int(binary.LittleEndian.Uint16(steps[i+1:]))
		switch steps[i] % 16 {
		case 0:
			time.Sleep(time.Duration(steps[i+1]) * time.Millisecond)
			take(m.ReadyBatches())
			if due := m.NextDue(); !due.IsZero() && !due.After(time.Now()) {
				t.Fatal("a batch that is due was left")
			}
		case 1:
			take(m.FlushAll())
		default:
			v := fmt.Sprint(i, " ", string(bytes.Repeat([]byte("v"), size>>(steps[i]%8))))
			sent[partition] = append(sent[partition], v)
			take(mustAppend(t, m, partition, v))
		}
	}
	take(m.FlushAll())
	for partition, want := range sent {
		if !slices.Equal(got[partition], want) {
			t.Fatalf("partition %d: %d records came out, %d went in, or their order changed", partition, len(got[partition]), len(want))
		}
	}
}
