package rpc

import (
	"bytes"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
)

func record(value string, timestamp *int64) *streamhousev1.Record {
	return &streamhousev1.Record{Value: []byte(value), Timestamp: timestamp}
}

// A call with a producer id is recognised when it comes again, and only as
// long as it is the same call; one without an id appends each time (hole 13).
func TestProduceIdempotent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		now := new(int64(1000))
		call := func(seq uint64, id *uint64, records ...*streamhousev1.Record) (*streamhousev1.ProduceResponse, error) {
			req := &streamhousev1.ProduceRequest{Topic: "t", Partition: 1, Records: records, ProducerId: id}
			if id != nil {
				req.Sequence = &seq
			}
			return a.produce.Produce(t.Context(), req)
		}
		id := new(uint64(7))
		for i := range uint64(3) {
			for try := range 3 {
				got, err := call(i, id, record("a", now), record("b", now))
				if err != nil || got.GetBaseOffset() != 2*i || got.GetRecordCount() != 2 {
					t.Fatalf("call %d, try %d: %v, %v", i, try, got, err)
				}
				time.Sleep(time.Second) // no time of the agent's own is in the batch
			}
		}
		if _, err := call(1, id, record("other", now)); !errors.Is(reason.From(err), reason.SequenceConflict) {
			t.Errorf("other content: %v", err)
		}
		if _, err := call(5, id, record("a", now)); !errors.Is(reason.From(err), reason.SequenceGap) {
			t.Errorf("a gap: %v", err)
		}
		for i := range uint64(2) {
			if got, err := call(0, nil, record("a", nil)); err != nil || got.GetBaseOffset() != 6+i {
				t.Errorf("without an id: %v, %v", got, err)
			}
		}
	})
}

func TestProduceRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		some := []*streamhousev1.Record{record("a", new(int64(1)))}
		for name, c := range map[string]struct {
			req  *streamhousev1.ProduceRequest
			want reason.Reason
		}{
			"no records":          {&streamhousev1.ProduceRequest{Topic: "t"}, reason.InvalidArgument},
			"producer 0":          {&streamhousev1.ProduceRequest{Topic: "t", Records: some, ProducerId: new(uint64(0))}, reason.InvalidArgument},
			"sequence, no id":     {&streamhousev1.ProduceRequest{Topic: "t", Records: some, Sequence: new(uint64(0))}, reason.InvalidArgument},
			"id, no timestamp":    {&streamhousev1.ProduceRequest{Topic: "t", Records: []*streamhousev1.Record{record("a", nil)}, ProducerId: new(uint64(1))}, reason.InvalidArgument},
			"too large":           {&streamhousev1.ProduceRequest{Topic: "t", Records: []*streamhousev1.Record{{Value: make([]byte, 11<<20)}}}, reason.TooLarge},
			"too large together":  {&streamhousev1.ProduceRequest{Topic: "t", Records: []*streamhousev1.Record{{Value: make([]byte, 6<<20)}, {Key: make([]byte, 6<<20)}}}, reason.TooLarge},
			"unknown topic":       {&streamhousev1.ProduceRequest{Topic: "u", Records: some}, reason.UnknownTopic},
			"unknown partition":   {&streamhousev1.ProduceRequest{Topic: "t", Partition: 3, Records: some}, reason.UnknownTopic},
			"no topic's name":     {&streamhousev1.ProduceRequest{Topic: "a b", Records: some}, reason.InvalidArgument},
			"unknown producer":    {&streamhousev1.ProduceRequest{Topic: "t", Records: some, ProducerId: new(uint64(1)), Sequence: new(uint64(4))}, reason.UnknownProducer},
			"too many headers":    {&streamhousev1.ProduceRequest{Topic: "t", Records: []*streamhousev1.Record{{Headers: make([]*streamhousev1.Header, batch.MaxHeaders+1)}}}, reason.TooLarge},
			"not even a topic":    {&streamhousev1.ProduceRequest{Records: some}, reason.InvalidArgument},
			"a far away topic id": {&streamhousev1.ProduceRequest{Topic: "..", Records: some}, reason.InvalidArgument},
		} {
			for i := range c.req.GetRecords() {
				for j := range c.req.GetRecords()[i].GetHeaders() {
					c.req.Records[i].Headers[j] = &streamhousev1.Header{}
				}
			}
			_, err := a.produce.Produce(t.Context(), c.req)
			if e := reason.From(err); !errors.Is(e, c.want) || e.Code != c.want.Code() {
				t.Errorf("%s: %v, want %s", name, err, c.want)
			}
		}
		if _, end := a.bounds(0); end != 0 {
			t.Errorf("what was refused is there: the log ends at %d", end)
		}
	})
}

func (a *agent) bounds(partition uint32) (start, end uint64) {
	a.t.Helper()
	out, err := a.consume.Fetch(a.t.Context(), &streamhousev1.FetchRequest{Topic: "t", Partition: partition})
	if err != nil {
		a.t.Fatal(err)
	}
	return out.GetStartOffset(), out.GetEndOffset()
}

// What was produced comes back as it was: null and empty differ, headers keep
// their order, and the first record is the very one that was asked for.
func TestFetchRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		want := []*streamhousev1.Record{
			{Key: []byte{}, Value: nil, Timestamp: new(int64(-5))},
			{Key: nil, Value: []byte{}, Timestamp: new(int64(0))},
			{Key: []byte("k\x00"), Value: bytes.Repeat([]byte{0xff}, 1<<20), Timestamp: new(int64(1 << 60)), Headers: []*streamhousev1.Header{
				{Key: "b", Value: []byte("1")}, {Key: "a"}, {Key: "b", Value: []byte{}},
			}},
		}
		if _, err := a.produce.Produce(t.Context(), &streamhousev1.ProduceRequest{Topic: "t", Records: want}); err != nil {
			t.Fatal(err)
		}
		for from := range uint64(4) {
			out, err := a.consume.FetchRecords(t.Context(), &streamhousev1.FetchRequest{Topic: "t", Offset: from})
			if err != nil || out.GetEndOffset() != 3 || len(out.GetRecords()) != 3-int(from) {
				t.Fatalf("from %d: %d records up to %d, %v", from, len(out.GetRecords()), out.GetEndOffset(), err)
			}
			for i, r := range out.GetRecords() {
				if r.GetOffset() != from+uint64(i) || !proto.Equal(r.GetRecord(), want[r.GetOffset()]) {
					t.Errorf("from %d: record %d differs", from, r.GetOffset())
				}
			}
		}
	})
}

// A page of plain records stays within a message, however well its batches
// were compressed, and reading on from its end gives every record once.
func TestFetchRecordsPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		const batches, records, size = 6, 1000, 8000
		for seq := range uint64(batches) {
			var b batch.Builder
			for i := range records {
				b.Append(&batch.Record{Key: strconv.AppendInt(nil, int64(seq)*records+int64(i), 10), Value: make([]byte, size)})
			}
			b.Compress(batch.Zstd)
			a.append(0, b.Seal(1, seq))
		}
		pages := 0
		for next := uint64(0); next < batches*records; pages++ {
			out, err := a.consume.FetchRecords(t.Context(), &streamhousev1.FetchRequest{Topic: "t", Offset: next})
			if err != nil || len(out.GetRecords()) == 0 {
				t.Fatalf("from %d: %v", next, err)
			}
			for _, r := range out.GetRecords() {
				if r.GetOffset() != next || string(r.GetRecord().GetKey()) != strconv.FormatUint(next, 10) {
					t.Fatalf("record %d is at %d, with key %q", next, r.GetOffset(), r.GetRecord().GetKey())
				}
				next++
			}
		}
		if pages < 6 || pages > 12 {
			t.Errorf("48 MB came in %d pages of 8 MiB", pages)
		}
	})
}

// A fetch keeps to its bytes, but gives one batch at least, whether the batches
// lie in one segment or in one each.
func TestFetchBytes(t *testing.T) {
	for _, together := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { fetchBytes(t, together) })
	}
}

func fetchBytes(t *testing.T, together bool) {
	t.Helper()
	a := serve(t, faults.Plan{Put: faults.Latency{P50: time.Second}})
	var sent [][]byte
	var batches []wire.Batch
	for seq := range uint64(10) {
		sent = append(sent, encode(1, seq, 2, 500))
		batches = append(batches, wire.Batch{RequestID: seq, TopicID: a.topic.GetId(), Data: sent[seq]})
	}
	s := a.stream()
	if together {
		s.send(wire.Batch{RequestID: 99, TopicID: a.topic.GetId(), Partition: 1, Data: encode(1, 0, 1, 1)})
		synctest.Wait() // it keeps the store busy, and the others gather
		s.send(batches...)
		s.receive(11)
	} else {
		for _, b := range batches {
			s.send(b)
			s.receive(1)
		}
	}
	if segments, want := a.stats.Segments.Load(), map[bool]uint64{false: 10, true: 2}[together]; segments != want {
		t.Fatalf("%d segments, want %d", segments, want)
	}
	for _, c := range []struct {
		offset   uint64
		maxBytes int
		first    uint64
		batches  int
	}{
		{0, 1, 0, 1},
		{1, 1, 0, 1},
		{2, 1, 2, 1},
		{0, 2*len(sent[0]) - 1, 0, 1},
		{0, 2 * len(sent[0]), 0, 2},
		{5, 1 << 20, 4, 8},
		{19, 0, 18, 1},
		{20, 0, 0, 0},
		{0, 0, 0, 10},
	} {
		out, err := a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t", Offset: c.offset, MaxBytes: uint32(c.maxBytes)})
		if err != nil || len(out.GetBatches()) != c.batches {
			t.Fatalf("%+v: %d batches, %v", c, len(out.GetBatches()), err)
		}
		for i, b := range out.GetBatches() {
			if b.GetBaseOffset() != c.first+2*uint64(i) || !bytes.Equal(b.GetBatch(), sent[b.GetBaseOffset()/2]) {
				t.Errorf("%+v: batch %d is at %d", c, i, b.GetBaseOffset())
			}
		}
	}
}

func TestFetchRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		a.append(0, encode(1, 0, 5, 10))
		for name, c := range map[string]struct {
			req  *streamhousev1.FetchRequest
			want reason.Reason
		}{
			"bytes":     {&streamhousev1.FetchRequest{Topic: "t", MaxBytes: maxFetchBytes + 1}, reason.InvalidArgument},
			"wait":      {&streamhousev1.FetchRequest{Topic: "t", MaxWaitMs: 30_001}, reason.InvalidArgument},
			"topic":     {&streamhousev1.FetchRequest{Topic: "u"}, reason.UnknownTopic},
			"partition": {&streamhousev1.FetchRequest{Topic: "t", Partition: 9}, reason.UnknownTopic},
			"offset":    {&streamhousev1.FetchRequest{Topic: "t", Offset: 6, MaxWaitMs: 1000}, reason.OffsetOutOfRange},
		} {
			_, err := a.consume.Fetch(t.Context(), c.req)
			e := reason.From(err)
			if !errors.Is(e, c.want) {
				t.Errorf("%s: %v", name, err)
			}
			if name == "offset" && (e.Metadata[reason.MetaStartOffset] != "0" || e.Metadata[reason.MetaEndOffset] != "5") {
				t.Errorf("it says %v", e.Metadata)
			}
		}
	})
}

// A long poll returns as soon as there is a record, with nothing when there is
// none in time, and with NOT_OWNER when the partition goes (R7).
func TestLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		began := time.Now()
		poll := func(offset uint64) (*streamhousev1.FetchResponse, error) {
			return a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t", Offset: offset, MaxWaitMs: 20_000})
		}
		out, err := poll(0)
		if took := time.Since(began); err != nil || len(out.GetBatches()) != 0 || took != 20*time.Second {
			t.Errorf("after %v: %v, %v", took, out, err)
		}
		began = time.Now()
		time.AfterFunc(7*time.Second, func() { a.append(0, encode(1, 0, 3, 10)) })
		out, err = poll(0)
		if took := time.Since(began); err != nil || len(out.GetBatches()) != 1 || out.GetEndOffset() != 3 || took != 7*time.Second {
			t.Errorf("after %v: %v, %v", took, out, err)
		}
		time.AfterFunc(time.Second, func() {
			if _, err := a.manage.DeleteTopic(t.Context(), &streamhousev1.DeleteTopicRequest{Name: "t"}); err != nil {
				t.Error(err)
			}
		})
		if _, err := poll(3); !errors.Is(reason.From(err), reason.NotOwner) {
			t.Errorf("a poll on a deleted topic: %v", err)
		}
		if _, err := poll(3); !errors.Is(reason.From(err), reason.UnknownTopic) {
			t.Errorf("a fetch from a deleted topic: %v", err)
		}
	})
}

// Topics are made, described with owner and offsets, listed and deleted; one
// that is made again has another id, under which old batches are not taken.
func TestTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		a.append(2, encode(1, 0, 4, 10))
		d, err := a.manage.DescribeTopic(t.Context(), &streamhousev1.DescribeTopicRequest{Name: "t"})
		if err != nil || len(d.GetPartitions()) != 3 {
			t.Fatalf("described %v, %v", d, err)
		}
		for i, p := range d.GetPartitions() {
			if p.GetPartition() != uint32(i) || p.GetAddress() != "here:1" || p.GetEpoch() != 1 || p.EndOffset == nil ||
				p.GetEndOffset() != map[int]uint64{2: 4}[i] {
				t.Errorf("partition %d is %v", i, p)
			}
		}
		old := a.topic.GetId()
		if _, err := a.manage.CreateTopic(t.Context(), &streamhousev1.CreateTopicRequest{Name: "t", PartitionCount: 1}); codeOf(err) != codes.AlreadyExists {
			t.Errorf("created again: %v", err)
		}
		if _, err := a.manage.DeleteTopic(t.Context(), &streamhousev1.DeleteTopicRequest{Name: "t", Id: new(old + 1)}); codeOf(err) != codes.NotFound {
			t.Errorf("deleted another id: %v", err)
		}
		if _, err := a.manage.DeleteTopic(t.Context(), &streamhousev1.DeleteTopicRequest{Name: "t", Id: &old}); err != nil {
			t.Fatal(err)
		}
		late := a.stream()
		late.send(wire.Batch{RequestID: 1, TopicID: old, Partition: 2, Data: encode(1, 1, 1, 10)})
		if answer := late.receive(1)[0]; !is(answer, reason.UnknownTopic) {
			t.Errorf("a batch for the deleted topic was answered %+v", answer)
		}
		made, err := a.manage.CreateTopic(t.Context(), &streamhousev1.CreateTopicRequest{Name: "t", PartitionCount: 2})
		if err != nil || made.GetTopic().GetId() == old {
			t.Fatalf("made again as %v, %v", made, err)
		}
		if _, end := a.bounds(0); end != 0 {
			t.Errorf("the new topic has %d records", end)
		}
		list, err := a.manage.ListTopics(t.Context(), &streamhousev1.ListTopicsRequest{})
		if err != nil || len(list.GetTopics()) != 1 || !proto.Equal(list.GetTopics()[0], made.GetTopic()) {
			t.Errorf("listed %v, %v", list, err)
		}
	})
}

func codeOf(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	return reason.From(err).Code
}

// Before the agent has joined its store, everything is refused in a way that
// clients try again.
func TestNoHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agent{t: t, injector: faults.New(faults.Plan{})}
		a.Services = New(Options{MaxBatchBytes: 1000}, nil, nil, nil)
		a.connect(func() {})
		_, produced := a.produce.Produce(t.Context(), &streamhousev1.ProduceRequest{Topic: "t", Records: []*streamhousev1.Record{{}}})
		_, fetched := a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t"})
		_, created := a.manage.CreateTopic(t.Context(), &streamhousev1.CreateTopicRequest{Name: "t", PartitionCount: 1})
		for _, err := range []error{produced, fetched, created} {
			if r := reason.From(err).Recovery(); err == nil || r == reason.Fail || r == reason.Renew {
				t.Errorf("refused with %v, after which clients do %d", err, r)
			}
		}
	})
}
