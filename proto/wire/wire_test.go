package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// cut lays b out in buffers of random sizes, empty ones included, as a
// transport may.
func cut(b []byte, rng *rand.Rand) mem.BufferSlice {
	var out mem.BufferSlice
	for len(b) > 0 {
		n := min(len(b), rng.IntN(40))
		out = append(out, mem.SliceBuffer(b[:n]))
		b = b[n:]
	}
	return out
}

func sampleRequest(rng *rand.Rand, batches int) *Request {
	r := &Request{}
	for range batches {
		data := make([]byte, rng.IntN(3*copyBelow))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		r.Batches = append(r.Batches, Batch{
			RequestID: rng.Uint64() >> rng.IntN(64), TopicID: rng.Uint32() >> rng.IntN(32),
			Partition: rng.Uint32() >> rng.IntN(32), Data: data,
		})
	}
	return r
}

// What our types write, generated code reads, and the other way round: the
// wire is protobuf, whoever is at the other end.
func TestRequestIsStandardProtobuf(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 20 {
		want := sampleRequest(rng, n)
		buffers, err := Codec().Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		standard := &streamhousev1.ProduceStreamRequest{}
		if err := proto.Unmarshal(buffers.Materialize(), standard); err != nil {
			t.Fatal(err)
		}
		again, err := proto.Marshal(standard)
		if err != nil {
			t.Fatal(err)
		}
		got := &Arrival{}
		if err := Codec().Unmarshal(cut(again, rng), got); err != nil {
			t.Fatal(err)
		}
		checkArrival(t, got, want)
		got.Free()
	}
}

func checkArrival(t *testing.T, got *Arrival, want *Request) {
	t.Helper()
	if len(got.Batches) != len(want.Batches) {
		t.Fatalf("got %d batches, want %d", len(got.Batches), len(want.Batches))
	}
	for i, w := range want.Batches {
		g := got.Batches[i]
		if g.RequestID != w.RequestID || g.TopicID != w.TopicID || g.Partition != w.Partition || g.Size != len(w.Data) {
			t.Fatalf("batch %d: got %+v, want %+v", i, g, w)
		}
		if !bytes.Equal(bytes.Join(g.Parts, nil), w.Data) {
			t.Fatalf("batch %d: other data", i)
		}
	}
}

// A newer client may send fields that we do not know; they are passed over.
func TestArrivalSkipsUnknownFields(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	want := sampleRequest(rng, 1)
	buffers, _ := Codec().Marshal(want)
	unknown := []byte{
		0x50, 0x96, 0x01, // field 10, varint
		0x5d, 1, 2, 3, 4, // field 11, fixed32
		0x61, 1, 2, 3, 4, 5, 6, 7, 8, // field 12, fixed64
		0x6a, 0x03, 'a', 'b', 'c', // field 13, bytes
	}
	raw := append(append(bytes.Clone(unknown), buffers.Materialize()...), unknown...)
	got := &Arrival{}
	if err := Codec().Unmarshal(cut(raw, rng), got); err != nil {
		t.Fatal(err)
	}
	checkArrival(t, got, want)
}

func TestAnswersAreStandardProtobuf(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	want := &Answers{Answers: []Answer{
		{RequestID: 1, BaseOffset: 1 << 40},
		{},
		{RequestID: 3, Err: &streamhousev1.ProduceError{
			Code: 5, Reason: "NOT_OWNER", Message: "ask the other one",
			Metadata: map[string]string{"owner": "10.0.0.1:7400"}, RetryDelayMs: 20,
		}},
	}}
	buffers, err := Codec().Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	standard := &streamhousev1.ProduceStreamResponse{}
	if err := proto.Unmarshal(buffers.Materialize(), standard); err != nil {
		t.Fatal(err)
	}
	again, _ := proto.Marshal(standard)
	got := &Answers{}
	if err := Codec().Unmarshal(cut(again, rng), got); err != nil {
		t.Fatal(err)
	}
	for i, w := range want.Answers {
		g := got.Answers[i]
		if g.RequestID != w.RequestID || g.BaseOffset != w.BaseOffset || !proto.Equal(g.Err, w.Err) {
			t.Errorf("answer %d: got %+v, want %+v", i, g, w)
		}
	}
}

// A message cut short anywhere is an error or a shorter list, never a panic.
func TestTruncatedMessages(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	buffers, _ := Codec().Marshal(sampleRequest(rng, 2))
	raw := buffers.Materialize()
	for n := range raw {
		a := &Arrival{}
		if err := Codec().Unmarshal(cut(raw[:n], rng), a); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func FuzzArrival(f *testing.F) {
	rng := rand.New(rand.NewPCG(9, 10))
	for n := range 3 {
		buffers, _ := Codec().Marshal(sampleRequest(rng, n))
		f.Add(buffers.Materialize())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ours, standard := &Arrival{}, &streamhousev1.ProduceStreamRequest{}
		err := ours.unmarshal(cut(raw, rng))
		if proto.Unmarshal(raw, standard) != nil || err != nil {
			return // the two may differ in what they refuse (groups, UTF-8)
		}
		if len(ours.Batches) != len(standard.GetBatches()) {
			t.Fatalf("%d batches, protobuf reads %d", len(ours.Batches), len(standard.GetBatches()))
		}
		for i, w := range standard.GetBatches() {
			g := ours.Batches[i]
			if g.RequestID != w.GetRequestId() || g.TopicID != w.GetTopicId() || g.Partition != w.GetPartition() ||
				!bytes.Equal(bytes.Join(g.Parts, nil), w.GetBatch()) {
				t.Fatalf("batch %d differs", i)
			}
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0x0a, 0x04, 0x08, 0x01, 0x10, 0x02})
	f.Fuzz(func(t *testing.T, raw []byte) {
		a := &Answers{}
		if err := a.unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
	})
}
