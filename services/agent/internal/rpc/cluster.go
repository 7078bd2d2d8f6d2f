package rpc

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

type clusterServer struct {
	streamhousev1.UnimplementedClusterServiceServer
	*listening
}

// DescribeCluster tells who works, from what this agent saw last, and who owns
// what, from the rows.
func (s *clusterServer) DescribeCluster(ctx context.Context, _ *streamhousev1.DescribeClusterRequest) (*streamhousev1.DescribeClusterResponse, error) {
	h, err := s.current()
	if err != nil {
		return nil, err
	}
	out := &streamhousev1.DescribeClusterResponse{Session: h.Session.ID}
	if out.Partitions, err = s.partitions(ctx, h); err != nil {
		return nil, refuse(ctx, err)
	}
	owned, assigned := map[string]uint32{}, map[string]uint32{}
	for _, p := range out.GetPartitions() {
		owned[p.GetOwner()]++
		assigned[p.GetAssigned()]++
	}
	for _, m := range h.Members() {
		a := s.agent(m)
		a.PartitionCount, a.AssignedCount = owned[m.ID], assigned[m.ID]
		out.Agents = append(out.Agents, a)
	}
	slices.SortFunc(out.GetAgents(), func(a, b *streamhousev1.ClusterAgent) int {
		return cmp.Or(strings.Compare(a.GetName(), b.GetName()), strings.Compare(a.GetSession(), b.GetSession()))
	})
	return out, nil
}

func (s *clusterServer) agent(m host.Member) *streamhousev1.ClusterAgent {
	state := streamhousev1.AgentState_AGENT_STATE_LIVE
	switch {
	case m.Dead:
		state = streamhousev1.AgentState_AGENT_STATE_DEAD
	case m.Leaving:
		state = streamhousev1.AgentState_AGENT_STATE_LEAVING
	}
	return &streamhousev1.ClusterAgent{
		Session: m.ID, Name: m.Agent, Zone: m.Zone, Version: m.Release, Address: m.Addresses[s.name],
		HeartbeatAgoMs: uint64(max(0, time.Since(m.Seen).Milliseconds())), LeaseMs: uint64(m.LeaseMillis), State: state,
	}
}

func (s *clusterServer) partitions(ctx context.Context, h *host.Host) (all []*streamhousev1.ClusterPartition, err error) {
	list, err := s.catalog.Refresh(ctx) // sorted by name
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		ofTopic := make([]*streamhousev1.ClusterPartition, t.Partitions)
		for n := range ofTopic {
			assigned := h.Assigned(flush.ID{Topic: t.ID, Partition: uint32(n)})
			ofTopic[n] = &streamhousev1.ClusterPartition{Topic: t.Name, Partition: uint32(n), Assigned: assigned}
		}
		for row, err := range meta.Query[*meta.Partition](ctx, s.rows, meta.TopicHash(t.ID), 0) {
			if err != nil {
				return nil, err
			}
			if row.Partition < t.Partitions {
				ofTopic[row.Partition].Owner, ofTopic[row.Partition].Epoch = row.Owner, row.Epoch
			}
		}
		all = append(all, ofTopic...)
	}
	return all, nil
}
