package rpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
)

// Settings come back from every call that tells of a topic, and new partitions
// can be written to when UpdateTopic returns.
func TestUpdateTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		made, err := a.manage.CreateTopic(t.Context(), &streamhousev1.CreateTopicRequest{
			Name: "kept", PartitionCount: 2, RetentionMs: 60_000, RetentionBytes: 1 << 20,
		})
		want := &streamhousev1.Topic{Name: "kept", Id: 2, PartitionCount: 2, RetentionMs: 60_000, RetentionBytes: 1 << 20}
		if err != nil || !proto.Equal(made.GetTopic(), want) {
			t.Fatalf("made %v, %v", made, err)
		}
		want.PartitionCount, want.RetentionMs = 5, 0
		changed, err := a.manage.UpdateTopic(t.Context(), &streamhousev1.UpdateTopicRequest{
			Name: "kept", Id: new(uint32(2)), PartitionCount: new(uint32(5)), RetentionMs: new(int64(0)),
		})
		if err != nil || !proto.Equal(changed.GetTopic(), want) {
			t.Fatalf("changed to %v, %v", changed, err)
		}
		for partition := range uint32(5) {
			if _, err := a.produce.Produce(t.Context(), &streamhousev1.ProduceRequest{
				Topic: "kept", Partition: partition, Records: []*streamhousev1.Record{record("x", nil)},
			}); err != nil {
				t.Errorf("partition %d: %v", partition, err)
			}
		}
		described, err := a.manage.DescribeTopic(t.Context(), &streamhousev1.DescribeTopicRequest{Name: "kept"})
		if err != nil || !proto.Equal(described.GetTopic(), want) || len(described.GetPartitions()) != 5 {
			t.Errorf("described as %v, %v", described, err)
		}
		list, err := a.manage.ListTopics(t.Context(), &streamhousev1.ListTopicsRequest{})
		if err != nil || len(list.GetTopics()) != 2 || !proto.Equal(list.GetTopics()[0], want) {
			t.Errorf("listed %v, %v", list, err)
		}
		for name, tt := range map[string]struct {
			req  *streamhousev1.UpdateTopicRequest
			want reason.Reason
		}{
			"fewer partitions": {&streamhousev1.UpdateTopicRequest{Name: "kept", PartitionCount: new(uint32(4))}, reason.InvalidArgument},
			"more than 100":    {&streamhousev1.UpdateTopicRequest{Name: "kept", PartitionCount: new(uint32(101))}, reason.InvalidArgument},
			"a second":         {&streamhousev1.UpdateTopicRequest{Name: "kept", RetentionMs: new(int64(1000))}, reason.InvalidArgument},
			"less than none":   {&streamhousev1.UpdateTopicRequest{Name: "kept", RetentionBytes: new(int64(-1))}, reason.InvalidArgument},
			"another id":       {&streamhousev1.UpdateTopicRequest{Name: "kept", Id: new(uint32(1))}, reason.UnknownTopic},
			"another name":     {&streamhousev1.UpdateTopicRequest{Name: "other"}, reason.UnknownTopic},
		} {
			if got, err := a.manage.UpdateTopic(t.Context(), tt.req); !errors.Is(reason.From(err), tt.want) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	})
}

// An agent that has not heard of new partitions says that it does not own them,
// never that there are none.
func TestPartitionsAddedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		if _, err := topics.New(a.rows, 100).Update(t.Context(), "t", topics.Change{Partitions: new(uint32(5))}); err != nil {
			t.Fatal(err)
		}
		s := a.stream()
		s.send(wire.Batch{RequestID: 1, TopicID: a.topic.GetId(), Partition: 4, Data: encode(1, 0, 1, 1)})
		if answer := s.receive(1)[0]; !is(answer, reason.NotOwner) {
			t.Errorf("stream: %v", answer)
		}
		_, err := a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t", Partition: 3})
		if !errors.Is(reason.From(err), reason.NotOwner) {
			t.Errorf("fetch: %v", err)
		}
		_, err = a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t", Partition: 5})
		if !errors.Is(reason.From(err), reason.UnknownTopic) {
			t.Errorf("fetch of what there is not: %v", err)
		}
		time.Sleep(2 * time.Second) // the next round acquires them
		s.send(wire.Batch{RequestID: 2, TopicID: a.topic.GetId(), Partition: 4, Data: encode(1, 0, 1, 1)})
		if answer := s.receive(1)[0]; answer.Err != nil {
			t.Errorf("stream, later: %v", answer)
		}
	})
}

// A topic that another agent deleted and made anew is mistaken for the old one
// by name alone, until the next round; with its id never.
func TestTopicMadeAnewElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{})
		other := topics.New(a.rows, 100)
		if _, err := other.Delete(t.Context(), "t", nil); err != nil {
			t.Fatal(err)
		}
		young, err := other.Create(t.Context(), "t", 3)
		if err != nil {
			t.Fatal(err)
		}
		calls := map[string]func(ctx context.Context, id *uint32) error{
			"produce": func(ctx context.Context, id *uint32) error {
				_, err := a.produce.Produce(ctx, &streamhousev1.ProduceRequest{Topic: "t", TopicId: id, Records: []*streamhousev1.Record{record("x", nil)}})
				return err
			},
			"fetch": func(ctx context.Context, id *uint32) error {
				_, err := a.consume.Fetch(ctx, &streamhousev1.FetchRequest{Topic: "t", TopicId: id})
				return err
			},
			"records": func(ctx context.Context, id *uint32) error {
				_, err := a.consume.FetchRecords(ctx, &streamhousev1.FetchRequest{Topic: "t", TopicId: id})
				return err
			},
			"find": func(ctx context.Context, id *uint32) error {
				_, err := a.consume.FindOffset(ctx, &streamhousev1.FindOffsetRequest{Topic: "t", TopicId: id})
				return err
			},
		}
		for name, call := range calls {
			if err := call(t.Context(), &young.ID); !errors.Is(reason.From(err), reason.NotOwner) {
				t.Errorf("%s, the young one: %v", name, err)
			}
			if err := call(t.Context(), new(a.topic.GetId())); !errors.Is(reason.From(err), reason.UnknownTopic) {
				t.Errorf("%s, the old one: %v", name, err)
			}
		}
		time.Sleep(2 * time.Second)
		for name, call := range calls {
			for _, id := range []*uint32{nil, &young.ID} {
				if err := call(t.Context(), id); err != nil {
					t.Errorf("%s, later: %v", name, err)
				}
			}
			if err := call(t.Context(), new(a.topic.GetId())); !errors.Is(reason.From(err), reason.UnknownTopic) {
				t.Errorf("%s, the old one, later: %v", name, err)
			}
		}
	})
}
