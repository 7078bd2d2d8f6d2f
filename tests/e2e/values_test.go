package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// oddRecords are records that a text-minded, null-blind or small-minded path
// would change.
func oddRecords() []producer.Record {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	random := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(random) // it never fails
	at := time.UnixMilli(1_700_000_000_123).UTC()
	headers := []producer.Header{
		{Key: "twice", Value: []byte("1")},
		{Key: "twice", Value: []byte("2")},
		{Key: "null"},
		{Key: "empty", Value: []byte{}},
		{Key: "", Value: []byte("no name")},
		{Key: "bytes", Value: every},
	}
	return []producer.Record{
		{Value: every, Timestamp: at},
		{Key: every, Value: []byte("every byte in the key"), Timestamp: at},
		{Timestamp: at}, // null and null
		{Key: []byte{}, Value: []byte{}, Timestamp: at},     // empty and empty
		{Key: []byte("gone"), Timestamp: at},                // a tombstone
		{Key: []byte("empty"), Value: []byte{}},             // not a tombstone, and now
		{Key: []byte{}, Timestamp: time.UnixMilli(0)},       // an empty key's tombstone, in 1970
		{Value: []byte("x"), Timestamp: time.UnixMilli(-1)}, // before 1970
		{Value: []byte("text\nof two lines\r\n\x00"), Timestamp: at},
		{Value: []byte("\xff\xfe not UTF-8"), Timestamp: at},
		{Value: []byte(`{"json":"\u0000"}`), Headers: headers, Timestamp: at},
		{Value: random, Timestamp: at},                                       // 1 MiB
		{Value: bytes.Repeat([]byte("compressible "), 1<<16), Timestamp: at}, // 832 KiB that shrink
	}
}

// fetchAll reads a partition from its start to its end as a reader would:
// batches, decoded.
func fetchAll(t *testing.T, c *process.Client, topic string, partition uint32) []producer.Record {
	t.Helper()
	var all []producer.Record
	for {
		page, err := c.Consumer.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: topic, Partition: partition, Offset: uint64(len(all))})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.GetBatches() {
			var d batch.Decoder
			if _, err := d.Reset(b.GetBatch()); err != nil {
				t.Fatal(err)
			}
			var r batch.Record
			for offset := b.GetBaseOffset(); d.Next(&r); offset++ {
				if offset == uint64(len(all)) {
					all = append(all, cloneRecord(&r))
				}
			}
		}
		if uint64(len(all)) >= page.GetEndOffset() {
			return all
		}
	}
}

// cloneRecord keeps null apart from empty; the decoder reuses the headers.
func cloneRecord(r *batch.Record) producer.Record {
	return producer.Record{
		Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp).UTC(),
		Headers: append([]producer.Header(nil), r.Headers...),
	}
}

// requireRecords compares with what was sent. A record without a timestamp
// gets the time of sending, between since and now.
func requireRecords(t *testing.T, got, want []producer.Record, since time.Time) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i, w := range want {
		if w.Timestamp.IsZero() {
			if at := got[i].Timestamp; at.Before(since.Truncate(time.Millisecond)) || at.After(time.Now()) {
				t.Errorf("record %d has the timestamp %v, want the time of sending", i, at)
			}
			w.Timestamp = got[i].Timestamp
		}
		w.Timestamp = w.Timestamp.UTC()
		if !reflect.DeepEqual(got[i], w) {
			t.Errorf("record %d is\n%s, want\n%s", i, brief(got[i]), brief(w))
		}
	}
}

func brief(r producer.Record) string {
	value := r.Value[:min(len(r.Value), 300)]
	return fmt.Sprintf("key %q (null %v), value %.300q (null %v, %d bytes), %v, headers %q",
		r.Key, r.Key == nil, value, r.Value == nil, len(r.Value), r.Timestamp, r.Headers)
}

// Every codec must carry every record unchanged, null apart from empty; so
// must NDJSON out of one topic and into another.
func TestOddRecords(t *testing.T) {
	a := process.StartAgent(t, noCeiling)
	c := a.Client()
	records := oddRecords()
	for _, codec := range []producer.Codec{producer.NoCompression, producer.LZ4, producer.Zstd, producer.S2} {
		t.Run(codec.String(), func(t *testing.T) {
			topic := "odd-" + codec.String()
			a.CreateTopic(topic, 1)
			start := time.Now()
			sendAll(t, newProducer(t, a, topic, producer.WithCompression(codec)), records)
			requireRecords(t, fetchAll(t, c, topic, 0), records, start)
		})
	}
	t.Run("NDJSON", func(t *testing.T) {
		a.CreateTopic("copy", 1)
		start := time.Now()
		lines := a.Succeed("consume", "odd-s2", "--format", "json")
		args := []string{"produce", "copy", "--format", "json"}
		a.Run(process.Command{Args: args, Stdin: strings.NewReader(lines)}).Succeeded(t, args...)
		got := fetchAll(t, c, "copy", 0)
		requireRecords(t, got, records, start.Add(-time.Minute)) // timestamps are copied
		if again := a.Succeed("consume", "copy", "--format", "json"); again != lines {
			t.Error("NDJSON of the copy differs from that of the original")
		}
	})
	t.Run("plain records", func(t *testing.T) {
		page, err := c.Consumer.FetchRecords(t.Context(), &streamhousev1.FetchRequest{Topic: "odd-zstd", MaxBytes: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		var got []producer.Record
		for _, r := range page.GetRecords() {
			got = append(got, plainRecord(r.GetRecord()))
		}
		requireRecords(t, got, records, time.Now().Add(-time.Minute))
	})
}

func plainRecord(r *streamhousev1.Record) producer.Record {
	plain := producer.Record{Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.GetTimestamp()).UTC()}
	for _, h := range r.GetHeaders() {
		plain.Headers = append(plain.Headers, producer.Header{Key: h.GetKey(), Value: h.Value})
	}
	return plain
}

func sendAll(t *testing.T, p *producer.Producer, records []producer.Record) {
	t.Helper()
	for i, r := range records {
		p.SendAsync(t.Context(), r, func(ack producer.Ack, err error) {
			if err != nil || ack.Offset != uint64(i) {
				t.Errorf("record %d: offset %d, %v", i, ack.Offset, err)
			}
		})
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A record that no batch can hold is refused by the library before it is sent,
// and by the command line with a sentence; those around it are not harmed.
func TestRecordTooLarge(t *testing.T) {
	a := process.StartAgent(t, noCeiling)
	a.CreateTopic("large", 1)
	t.Run("library", func(t *testing.T) {
		p := newProducer(t, a, "large")
		_, err := p.Send(t.Context(), producer.Record{Value: make([]byte, batch.MaxSize)})
		if !errors.Is(err, producer.ErrRecordTooLarge) || producer.OutcomeOf(err) != producer.NotDone {
			t.Errorf("error is %v with outcome %v, want ErrRecordTooLarge and not done", err, producer.OutcomeOf(err))
		}
		if ack, err := p.Send(t.Context(), producer.Record{Value: []byte("next")}); err != nil || ack.Offset != 0 {
			t.Errorf("the record after it: offset %d, %v", ack.Offset, err)
		}
	})
	t.Run("largest that fits", func(t *testing.T) {
		p := newProducer(t, a, "large", producer.WithCompression(producer.NoCompression))
		size := batch.MaxSize - batch.HeaderSize - batch.RecordSize(&batch.Record{})
		ack, err := p.Send(t.Context(), producer.Record{Value: make([]byte, size)})
		if err != nil || ack.Offset != 1 {
			t.Fatalf("offset %d, %v", ack.Offset, err)
		}
		page, err := a.Client().Consumer.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "large", Offset: 1})
		if err != nil {
			t.Fatal(err)
		}
		var d batch.Decoder
		var r batch.Record
		if _, err := d.Reset(page.GetBatches()[0].GetBatch()); err != nil || !d.Next(&r) || len(r.Value) != size {
			t.Errorf("read a value of %d bytes, %v, want %d", len(r.Value), err, size)
		}
	})
	t.Run("agent with a lower limit", func(t *testing.T) {
		small := process.StartAgent(t, noCeiling, "--max-batch-bytes=64KiB")
		small.CreateTopic("large", 1)
		p := newProducer(t, small, "large", producer.WithCompression(producer.NoCompression))
		_, err := p.Send(t.Context(), producer.Record{Value: make([]byte, 70<<10)})
		if !errors.Is(err, reason.TooLarge) || producer.OutcomeOf(err) != producer.NotDone {
			t.Errorf("error is %v with outcome %v, want %s and not done", err, producer.OutcomeOf(err), reason.TooLarge)
		}
		if ack, err := p.Send(t.Context(), producer.Record{Value: []byte("next")}); err != nil || ack.Offset != 0 {
			t.Errorf("the record after it: offset %d, %v", ack.Offset, err)
		}
	})
	t.Run("command line", func(t *testing.T) {
		a.CreateTopic("cli", 1)
		file := filepath.Join(t.TempDir(), "large")
		if err := os.WriteFile(file, append([]byte("before\n"), make([]byte, 16<<20)...), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"produce", "cli", "--file", file}, {"produce", "cli", "--whole", "--file", file}} {
			got := a.Run(process.Command{Args: args})
			if got.Code != 1 || !strings.Contains(got.Stderr, "too large") && !strings.Contains(got.Stderr, "longer than") {
				t.Errorf("%v: exit code %d and %q, want 1 and a sentence that says too large", args, got.Code, got.Stderr)
			}
			if lines := strings.Count(strings.TrimSpace(got.Stderr), "\n") + 1; lines > 2 {
				t.Errorf("%v: %d lines of error, want a sentence: %s", args, lines, got.Stderr)
			}
		}
		if got := a.Succeed("consume", "cli"); got != "before\n" {
			t.Errorf("the log holds %q, want the line before the one that is too long", got)
		}
	})
}

// Send must not return before the record is durable: a SIGKILL at that moment
// is the proof.
func TestSendThenKill(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling, "--store-put-latency=30ms/60ms", "--store-commit-latency=10ms/20ms")
	a.CreateTopic("sync", 1)
	p := newProducer(t, a, "sync")
	for i := range uint64(3) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		ack, err := p.Send(ctx, producer.Record{Key: []byte{}, Value: fmt.Append(nil, i)})
		cancel()
		a.Kill()
		if err != nil || ack.Offset != i {
			t.Fatalf("record %d: offset %d, %v", i, ack.Offset, err)
		}
		a.Start()
		got := fetchAll(t, a.Client(), "sync", 0)
		if uint64(len(got)) != i+1 || string(got[i].Value) != fmt.Sprint(i) {
			t.Fatalf("the log has %d records after a kill, want %d", len(got), i+1)
		}
	}
}
