package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// Every refusal reaches a client as the status and reason of the contract, over
// a real connection.
func TestRefusals(t *testing.T) {
	a := process.StartAgent(t, noCeiling)
	c := a.Client()
	a.CreateTopic("there", 2)
	one := []*streamhousev1.Record{{Value: []byte("x")}}
	id := uint64(7)
	zero := uint64(0)
	at := int64(1)
	otherID := uint32(1 << 20)
	produce := func(r *streamhousev1.ProduceRequest) func(context.Context) error {
		return func(ctx context.Context) error { _, err := c.Producer.Produce(ctx, r); return err }
	}
	fetch := func(r *streamhousev1.FetchRequest) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.Consumer.Fetch(ctx, r)
			_, plain := c.Consumer.FetchRecords(ctx, r)
			if reason.From(err).Reason != reason.From(plain).Reason {
				return fmt.Errorf("fetch says %w, fetch of plain records %w", err, plain)
			}
			return err
		}
	}
	create := func(name string, count uint32) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.Topics.CreateTopic(ctx, &streamhousev1.CreateTopicRequest{Name: name, PartitionCount: count})
			return err
		}
	}
	describe := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.Topics.DescribeTopic(ctx, &streamhousev1.DescribeTopicRequest{Name: name})
			return err
		}
	}
	remove := func(r *streamhousev1.DeleteTopicRequest) func(context.Context) error {
		return func(ctx context.Context) error { _, err := c.Topics.DeleteTopic(ctx, r); return err }
	}
	tests := map[string]struct {
		call func(context.Context) error
		want reason.Reason
	}{
		"produce to unknown topic":         {produce(&streamhousev1.ProduceRequest{Topic: "nowhere", Records: one}), reason.UnknownTopic},
		"produce to unknown partition":     {produce(&streamhousev1.ProduceRequest{Topic: "there", Partition: 2, Records: one}), reason.UnknownTopic},
		"produce nothing":                  {produce(&streamhousev1.ProduceRequest{Topic: "there"}), reason.InvalidArgument},
		"produce without a topic":          {produce(&streamhousev1.ProduceRequest{Records: one}), reason.InvalidArgument},
		"producer id 0":                    {produce(&streamhousev1.ProduceRequest{Topic: "there", ProducerId: &zero, Records: one}), reason.InvalidArgument},
		"sequence without a producer id":   {produce(&streamhousev1.ProduceRequest{Topic: "there", Sequence: &zero, Records: one}), reason.InvalidArgument},
		"producer id without a timestamp":  {produce(&streamhousev1.ProduceRequest{Topic: "there", ProducerId: &id, Sequence: &zero, Records: one}), reason.InvalidArgument},
		"new producer with sequence 7":     {produce(&streamhousev1.ProduceRequest{Topic: "there", ProducerId: &id, Sequence: &id, Records: []*streamhousev1.Record{{Timestamp: &at}}}), reason.UnknownProducer},
		"records that no batch can hold":   {produce(&streamhousev1.ProduceRequest{Topic: "there", Records: []*streamhousev1.Record{{Value: make([]byte, batch.MaxSize)}}}), reason.TooLarge},
		"fetch from unknown topic":         {fetch(&streamhousev1.FetchRequest{Topic: "nowhere"}), reason.UnknownTopic},
		"fetch from unknown partition":     {fetch(&streamhousev1.FetchRequest{Topic: "there", Partition: 9}), reason.UnknownTopic},
		"fetch beyond the end":             {fetch(&streamhousev1.FetchRequest{Topic: "there", Offset: 1}), reason.OffsetOutOfRange},
		"fetch of more than the limit":     {fetch(&streamhousev1.FetchRequest{Topic: "there", MaxBytes: 8<<20 + 1}), reason.InvalidArgument},
		"fetch that waits too long":        {fetch(&streamhousev1.FetchRequest{Topic: "there", MaxWaitMs: 30_001}), reason.InvalidArgument},
		"describe unknown topic":           {describe("nowhere"), reason.UnknownTopic},
		"describe a name that is none":     {describe("no where"), reason.InvalidArgument},
		"create what exists":               {create("there", 2), reason.TopicExists},
		"create without a name":            {create("", 1), reason.InvalidArgument},
		"create a dot":                     {create(".", 1), reason.InvalidArgument},
		"create two dots":                  {create("..", 1), reason.InvalidArgument},
		"create with a slash":              {create("a/b", 1), reason.InvalidArgument},
		"create with a line feed":          {create("a\n", 1), reason.InvalidArgument},
		"create beyond ASCII":              {create("tópico", 1), reason.InvalidArgument},
		"create with 250 characters":       {create(strings.Repeat("a", 250), 1), reason.InvalidArgument},
		"create with no partition":         {create("none", 0), reason.InvalidArgument},
		"create with 10001 partitions":     {create("many", 10_001), reason.InvalidArgument},
		"delete unknown topic":             {remove(&streamhousev1.DeleteTopicRequest{Name: "nowhere"}), reason.UnknownTopic},
		"delete a topic that has other id": {remove(&streamhousev1.DeleteTopicRequest{Name: "there", Id: &otherID}), reason.UnknownTopic},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { requireReason(t, test.call(t.Context()), test.want) })
	}
	t.Run("names at their limits", func(t *testing.T) {
		for _, name := range []string{"a", "...", "A.b_c-9", strings.Repeat("a", 249)} {
			if err := create(name, 1)(t.Context()); err != nil {
				t.Errorf("create %q: %v", name, err)
			}
		}
	})
	t.Run("nothing of it was appended", func(t *testing.T) {
		for p := range uint32(2) {
			page, err := c.Consumer.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "there", Partition: p})
			if err != nil || page.GetEndOffset() != 0 {
				t.Errorf("partition %d ends at %d, %v, want 0", p, page.GetEndOffset(), err)
			}
		}
	})
}

// Where the log begins and ends is told with the refusal, so that a reader can
// go on.
func TestOffsetOutOfRangeTellsTheRange(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling)
	c := a.Client()
	a.CreateTopic("range", 1)
	three := []*streamhousev1.Record{{}, {}, {}}
	if _, err := c.Producer.Produce(t.Context(), &streamhousev1.ProduceRequest{Topic: "range", Records: three}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Consumer.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "range", Offset: 4, MaxWaitMs: 10_000})
	requireReason(t, err, reason.OffsetOutOfRange)
	facts := reason.From(err).Metadata
	if facts[reason.MetaStartOffset] != "0" || facts[reason.MetaEndOffset] != "3" {
		t.Errorf("metadata is %v, want start 0 and end 3", facts)
	}
}

// A message above gRPC's limit is RESOURCE_EXHAUSTED too, without a reason. The
// predecessor repeated that for ever (hole 22); here it reads as permanent and
// as not done, and the connection goes on.
func TestMessageAboveGRPCsLimit(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling)
	c := a.Client()
	a.CreateTopic("huge", 1)
	_, err := c.Producer.Produce(t.Context(), &streamhousev1.ProduceRequest{
		Topic: "huge", Records: []*streamhousev1.Record{{Value: make([]byte, wire.MaxMessageSize)}},
	}, grpc.MaxCallSendMsgSize(wire.MaxMessageSize*2))
	got := reason.From(err)
	if status.Code(err) != codes.ResourceExhausted || got.Reason != "" {
		t.Fatalf("error is %v, want gRPC's own %s", err, codes.ResourceExhausted)
	}
	if got.Recovery() != reason.Fail || got.Outcome() != reason.NotDone {
		t.Errorf("it reads as recovery %v and outcome %v, want that it is permanent and not done", got.Recovery(), got.Outcome())
	}
	if _, err := c.Producer.Produce(t.Context(), &streamhousev1.ProduceRequest{Topic: "huge", Records: []*streamhousev1.Record{{}}}); err != nil {
		t.Errorf("the call after it: %v", err)
	}
}

// A library that sends to what is not there says so at once, and does not try
// for its whole delivery timeout.
func TestLibraryOnUnknownTopic(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling)
	p := newProducer(t, a, "nowhere")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := p.Send(ctx, producer.Record{Value: []byte("x")})
	if !errors.Is(err, reason.UnknownTopic) || producer.OutcomeOf(err) != producer.NotDone {
		t.Errorf("error is %v with outcome %v, want %s and not done", err, producer.OutcomeOf(err), reason.UnknownTopic)
	}
	a.CreateTopic("small", 1)
	_, err = newProducer(t, a, "small").Send(ctx, producer.Record{Partition: 1})
	if !errors.Is(err, producer.ErrInvalidPartition) {
		t.Errorf("error is %v, want %v", err, producer.ErrInvalidPartition)
	}
}

// The command line passes the reason on as a sentence, on exit code 1.
func TestCommandLineErrors(t *testing.T) {
	a := process.StartAgent(t, noCeiling)
	a.CreateTopic("there", 1)
	tests := map[string]struct {
		args []string
		code int
		says []string
	}{
		"unknown topic":        {[]string{"consume", "nowhere"}, 1, []string{"nowhere", "topic list"}},
		"produce to unknown":   {[]string{"produce", "nowhere"}, 1, []string{"nowhere", "topic list"}},
		"topic exists":         {[]string{"topic", "create", "there"}, 1, []string{"there", "another name"}},
		"bad name":             {[]string{"topic", "create", "a b"}, 1, []string{"a b", "letters"}},
		"unknown partition":    {[]string{"produce", "there", "--partition", "1"}, 2, []string{"there", "no partition 1"}},
		"nobody at the server": {[]string{"topic", "list", "--server", "127.0.0.1:1"}, 1, []string{"no agent answers at 127.0.0.1:1", "streamhouse agent"}},
		"delete without a yes": {[]string{"topic", "delete", "there"}, 2, []string{"--yes"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := a.Run(process.Command{Args: test.args})
			if got.Code != test.code {
				t.Errorf("exit code %d, want %d: %s", got.Code, test.code, got.Stderr)
			}
			for _, word := range test.says {
				if !strings.Contains(got.Stderr, word) {
					t.Errorf("it says %q, want something about %q", got.Stderr, word)
				}
			}
			if got.Stdout != "" {
				t.Errorf("standard output holds %q: it is for results", got.Stdout)
			}
		})
	}
}
