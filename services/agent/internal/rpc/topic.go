package rpc

import (
	"cmp"
	"context"
	"errors"
	"slices"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
)

type topicServer struct {
	streamhousev1.UnimplementedTopicServiceServer
	*listening
}

// CreateTopic returns once the partitions can be written to, or with the
// caller's patience.
func (s *topicServer) CreateTopic(ctx context.Context, req *streamhousev1.CreateTopicRequest) (*streamhousev1.CreateTopicResponse, error) {
	h, err := s.current()
	if err != nil {
		return nil, err
	}
	t := &meta.Topic{
		Name: req.GetName(), Partitions: req.GetPartitionCount(),
		RetentionMillis: req.GetRetentionMs(), RetentionBytes: req.GetRetentionBytes(),
	}
	if err := s.catalog.Make(ctx, t); err != nil {
		return nil, refuse(ctx, err)
	}
	if err := h.Await(ctx, t); err != nil {
		return nil, refuse(ctx, err)
	}
	return &streamhousev1.CreateTopicResponse{Topic: describe(t)}, nil
}

// UpdateTopic returns once the partitions that it added can be written to.
func (s *topicServer) UpdateTopic(ctx context.Context, req *streamhousev1.UpdateTopicRequest) (*streamhousev1.UpdateTopicResponse, error) {
	h, err := s.current()
	if err != nil {
		return nil, err
	}
	t, err := s.catalog.Update(ctx, req.GetName(), topics.Change{
		ID: req.Id, Partitions: req.PartitionCount, RetentionMillis: req.RetentionMs, RetentionBytes: req.RetentionBytes,
	})
	if err != nil {
		return nil, refuse(ctx, err)
	}
	h.WakeOthers()
	if req.PartitionCount != nil {
		if err := h.Await(ctx, t); err != nil {
			return nil, refuse(ctx, err)
		}
	}
	return &streamhousev1.UpdateTopicResponse{Topic: describe(t)}, nil
}

func describe(t *meta.Topic) *streamhousev1.Topic {
	return &streamhousev1.Topic{
		Name: t.Name, Id: t.ID, PartitionCount: t.Partitions, RetentionMs: t.RetentionMillis, RetentionBytes: t.RetentionBytes,
	}
}

func (s *topicServer) ListTopics(ctx context.Context, _ *streamhousev1.ListTopicsRequest) (*streamhousev1.ListTopicsResponse, error) {
	all, err := s.catalog.Refresh(ctx)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	out := &streamhousev1.ListTopicsResponse{}
	for _, t := range all {
		out.Topics = append(out.Topics, describe(t))
	}
	return out, nil
}

func (s *topicServer) DeleteTopic(ctx context.Context, req *streamhousev1.DeleteTopicRequest) (*streamhousev1.DeleteTopicResponse, error) {
	h, err := s.current()
	if err != nil {
		return nil, err
	}
	t, err := s.catalog.Delete(ctx, req.GetName(), req.Id)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	for p := range t.Partitions {
		if own := h.Pipeline.Tenure(flush.ID{Topic: t.ID, Partition: p}); own != nil {
			h.Drop(own)
		}
	}
	h.WakeOthers() // what they remember leads to the dead topic
	return &streamhousev1.DeleteTopicResponse{}, nil
}

// DescribeTopic reads which topic has the name now: who asks is about to send to
// it. It answers from memory for what this agent owns, and reads the
// rows of the rest.
func (s *topicServer) DescribeTopic(ctx context.Context, req *streamhousev1.DescribeTopicRequest) (*streamhousev1.DescribeTopicResponse, error) {
	h, err := s.current()
	if err != nil {
		return nil, err
	}
	t, err := s.catalog.Lookup(ctx, req.GetName())
	if err != nil {
		return nil, refuse(ctx, err)
	}
	out := &streamhousev1.DescribeTopicResponse{Topic: describe(t)}
	for p := range t.Partitions {
		if own := h.Pipeline.Tenure(flush.ID{Topic: t.ID, Partition: p}); own != nil {
			out.Partitions = append(out.Partitions, s.owned(h, own))
		}
	}
	if uint32(len(out.Partitions)) < t.Partitions {
		if err := s.describeOthers(ctx, t, out); err != nil {
			return nil, refuse(ctx, err)
		}
	}
	return out, nil
}

func (s *topicServer) owned(h *host.Host, t *flush.Tenure) *streamhousev1.Partition {
	start, end := t.Index.Bounds()
	return &streamhousev1.Partition{
		Partition: t.Partition, Owner: h.Session.ID, Address: s.address(), Zone: s.opts.Zone,
		Epoch: t.Epoch, StartOffset: start, EndOffset: &end,
	}
}

// describeOthers adds the partitions that are not owned here, from their rows
// and their owners'.
func (s *topicServer) describeOthers(ctx context.Context, t *meta.Topic, out *streamhousev1.DescribeTopicResponse) error {
	here := map[uint32]bool{}
	for _, p := range out.GetPartitions() {
		here[p.GetPartition()] = true
	}
	owners := map[string]*meta.Session{}
	for row, err := range meta.Query[*meta.Partition](ctx, s.rows, meta.TopicHash(t.ID), 0) {
		if err != nil {
			return err
		}
		if here[row.Partition] || row.Partition >= t.Partitions {
			continue
		}
		here[row.Partition] = true
		p := &streamhousev1.Partition{Partition: row.Partition, Owner: row.Owner, Epoch: row.Epoch, StartOffset: row.LogStart}
		if err := s.locate(ctx, owners, p); err != nil {
			return err
		}
		out.Partitions = append(out.Partitions, p)
	}
	for p := range t.Partitions {
		if !here[p] {
			out.Partitions = append(out.Partitions, &streamhousev1.Partition{Partition: p})
		}
	}
	slices.SortFunc(out.GetPartitions(), func(a, b *streamhousev1.Partition) int {
		return cmp.Compare(a.GetPartition(), b.GetPartition())
	})
	return nil
}

// locate fills in where a partition's owner is, if it still lives.
func (s *topicServer) locate(ctx context.Context, owners map[string]*meta.Session, p *streamhousev1.Partition) error {
	if p.GetOwner() == "" {
		return nil
	}
	owner := owners[p.GetOwner()]
	if owner == nil {
		owner = &meta.Session{ID: p.GetOwner()}
		err := s.rows.Get(ctx, owner)
		if errors.Is(err, meta.ErrNotFound) {
			owner.Sealed = true // its row goes some time after that
		} else if err != nil {
			return err
		}
		owners[p.GetOwner()] = owner
	}
	if !owner.Sealed {
		p.Address, p.Zone = owner.Addresses[s.name], owner.Zone
	}
	return nil
}
