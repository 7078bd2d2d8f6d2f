package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// sender sends batches of one topic on a stream and numbers its requests.
type sender struct {
	stream
	topic uint32
	next  uint64
}

// call sends one batch and waits for its answer.
func (s *sender) call(partition uint32, b []byte) *streamhousev1.ProduceAnswer {
	s.t.Helper()
	s.next++
	s.send(&streamhousev1.ProduceBatch{RequestId: s.next, TopicId: s.topic, Partition: partition, Batch: b})
	answer := s.answers(1)[0]
	if answer.GetRequestId() != s.next {
		s.t.Fatalf("answer to request %d, want %d", answer.GetRequestId(), s.next)
	}
	return answer
}

func (s *sender) appended(partition uint32, b []byte, offset uint64) {
	s.t.Helper()
	if a := s.call(partition, b); a.GetError() != nil || a.GetBaseOffset() != offset {
		s.t.Fatalf("answer is %v, want offset %d", a, offset)
	}
}

func (s *sender) refused(partition uint32, b []byte, want reason.Reason) {
	s.t.Helper()
	a := s.call(partition, b)
	if a.GetError() == nil {
		s.t.Fatalf("appended at %d, want %s", a.GetBaseOffset(), want)
	}
	requireReason(s.t, reason.FromProto(a.GetError()), want)
}

// Any protobuf client can speak the fast path. A refused batch is answered for
// itself: the stream, and what the other batches get, go on.
func TestStreamWithGeneratedCode(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling, "--max-batch-bytes=1MiB")
	s := &sender{stream: openStream(t, a.Client()), topic: a.CreateTopic("raw", 2)}
	first := encode(batch.None, 1, 0, "a", "b", "c")
	s.appended(0, first, 0)
	s.appended(0, first, 0) // a retry gets the first answer

	damaged := slices.Clone(encode(batch.Zstd, 1, 1, "d"))
	damaged[len(damaged)-1] ^= 1
	s.refused(0, damaged, reason.CorruptBatch)
	s.refused(0, damaged[:batch.HeaderSize-1], reason.CorruptBatch)
	s.refused(0, nil, reason.CorruptBatch)
	s.refused(0, append(slices.Clone(first), 0), reason.CorruptBatch)
	s.refused(0, encode(batch.None, 1, 1, string(make([]byte, 1<<20))), reason.TooLarge)
	s.refused(0, encode(batch.None, 1, 0, "other content"), reason.SequenceConflict)
	s.refused(0, encode(batch.None, 1, 2, "too early"), reason.SequenceGap)
	s.refused(0, encode(batch.None, 9, 5, "who"), reason.UnknownProducer)
	s.refused(2, encode(batch.None, 9, 0, "where"), reason.UnknownTopic)
	s.topic++
	s.refused(0, encode(batch.None, 9, 0, "what"), reason.UnknownTopic)
	s.topic--

	s.appended(0, encode(batch.Zstd, 1, 1, "d"), 3)
	s.appended(1, encode(batch.LZ4, 1, 0, "p1"), 0)
	s.appended(0, encode(batch.S2, 0, 0, "no producer"), 4)
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if rest, err := s.rest(); err != nil || len(rest) > 0 {
		t.Errorf("the stream ends with %v, %v, want in order", rest, err)
	}
	requireValues(t, a, "raw", 0, "a", "b", "c", "d", "no producer")
	requireValues(t, a, "raw", 1, "p1")
}

func requireValues(t *testing.T, a *process.Agent, topic string, partition uint32, want ...string) {
	t.Helper()
	var got []string
	for _, r := range fetchAll(t, a.Client(), topic, partition) {
		got = append(got, string(r.Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s/%d holds %q, want %q", topic, partition, got, want)
	}
}

// Many batches of many partitions in flight, some of them refused at once: the
// answers of each partition come in the order of its batches.
func TestStreamAnswersInOrder(t *testing.T) {
	t.Parallel()
	const partitions, rounds = 8, 50
	a := process.StartAgent(t, noCeiling, "--store-put-latency=5ms/20ms")
	id := a.CreateTopic("order", partitions)
	s := openStream(t, a.Client())
	sequences := [partitions]uint64{}
	for i := range uint64(rounds * partitions) {
		p := uint32(i % partitions)
		b := encode(batch.None, 1, sequences[p], fmt.Sprint(i))
		if i%7 == 3 {
			b[len(b)-1] ^= 1
		} else {
			sequences[p]++
		}
		s.send(&streamhousev1.ProduceBatch{RequestId: i, TopicId: id, Partition: p, Batch: b})
	}
	last, offsets := map[uint64]uint64{}, [partitions]uint64{}
	for _, answer := range s.answers(rounds * partitions) {
		i := answer.GetRequestId()
		p := i % partitions
		if before, ok := last[p]; ok && before >= i {
			t.Errorf("partition %d: the answer to %d comes after that to %d", p, i, before)
		}
		last[p] = i
		if refused := answer.GetError() != nil; refused != (i%7 == 3) {
			t.Fatalf("batch %d: %v", i, answer)
		} else if refused {
			continue
		}
		if answer.GetBaseOffset() != offsets[p] {
			t.Errorf("batch %d is at offset %d, want %d", i, answer.GetBaseOffset(), offsets[p])
		}
		offsets[p]++
	}
}

// A unary retry with a producer id is recognised too (hole 13), also by the
// agent that comes after a SIGKILL; without one every call appends.
func TestUnaryRetry(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling)
	a.CreateTopic("unary", 1)
	c := a.Client()
	id, at := uint64(77), int64(1_700_000_000_000)
	produce := func(sequence, producerID *uint64, want uint64, values ...string) {
		t.Helper()
		req := &streamhousev1.ProduceRequest{Topic: "unary", ProducerId: producerID, Sequence: sequence}
		for _, v := range values {
			req.Records = append(req.Records, &streamhousev1.Record{Value: []byte(v), Timestamp: &at})
		}
		got, err := c.Producer.Produce(t.Context(), req)
		if err != nil || got.GetBaseOffset() != want || int(got.GetRecordCount()) != len(values) {
			t.Fatalf("produce %q: %v, %v, want offset %d", values, got, err, want)
		}
	}
	zero, one := uint64(0), uint64(1)
	produce(&zero, &id, 0, "a", "b")
	produce(&one, &id, 2, "c")
	produce(&zero, &id, 0, "a", "b")
	produce(nil, nil, 3, "d")
	produce(nil, nil, 4, "d")
	a.Kill()
	a.Start()
	c = a.Client()
	produce(&zero, &id, 0, "a", "b")
	produce(&one, &id, 2, "c")
	two := uint64(2)
	produce(&two, &id, 5, "e")
	requireValues(t, a, "unary", 0, "a", "b", "c", "d", "d", "e")
}

// A topic that is made again under its name is another log: nothing of the old
// one shows, and batches for the old one never reach it. That must hold after a
// restart as well.
func TestTopicMadeAgain(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling)
	c := a.Client()
	s := &sender{stream: openStream(t, c), topic: a.CreateTopic("again", 1)}
	s.appended(0, encode(batch.None, 1, 0, "old"), 0)
	if _, err := c.Topics.DeleteTopic(t.Context(), &streamhousev1.DeleteTopicRequest{Name: "again", Id: &s.topic}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Consumer.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "again"})
	requireReason(t, err, reason.UnknownTopic)
	made := a.CreateTopic("again", 3)
	if made == s.topic {
		t.Fatalf("the new topic has the old one's id %d", made)
	}
	s.refused(0, encode(batch.None, 1, 1, "late"), reason.UnknownTopic)
	requireValues(t, a, "again", 0)
	a.Kill()
	a.Start()
	s = &sender{stream: openStream(t, a.Client()), topic: s.topic}
	s.refused(0, encode(batch.None, 1, 1, "late"), reason.UnknownTopic)
	requireValues(t, a, "again", 0)
	s.topic = made
	s.appended(0, encode(batch.None, 1, 0, "new"), 0)
	requireValues(t, a, "again", 0, "new")
	found, err := a.Client().Topics.DescribeTopic(t.Context(), &streamhousev1.DescribeTopicRequest{Name: "again"})
	if err != nil || found.GetTopic().GetId() != made || len(found.GetPartitions()) != 3 {
		t.Errorf("the topic is %v, %v, want id %d and 3 partitions", found, err, made)
	}
	next := a.CreateTopic("another", 1)
	if next == made || next == s.topic || next <= made {
		t.Errorf("ids after a restart go on with %d, after %d", next, made)
	}
}
