package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/table"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

func newCluster() *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "Show the agents that work together"}
	group(cmd)
	cmd.AddCommand(newClusterDescribe())
	return cmd
}

// clusterJSON is a cluster as --output json shows it.
type clusterJSON struct {
	Agents     []agentJSON            `json:"agents"`
	Partitions []clusterPartitionJSON `json:"partitions"`
}

type agentJSON struct {
	Name           string `json:"name"`
	Session        string `json:"session"`
	Zone           string `json:"zone"`
	Address        string `json:"address"`
	Version        string `json:"version"`
	State          string `json:"state"`
	PartitionCount uint32 `json:"partition_count"`
	AssignedCount  uint32 `json:"assigned_count"`
	HeartbeatAgoMS uint64 `json:"heartbeat_ago_ms"`
	LeaseMS        uint64 `json:"lease_ms"`
}

type clusterPartitionJSON struct {
	Topic     string `json:"topic"`
	Partition uint32 `json:"partition"`
	Owner     string `json:"owner"`
	Assigned  string `json:"assigned"`
	Epoch     uint64 `json:"epoch"`
}

func newClusterDescribe() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe", Short: "Show the agents, what they own, and when they were heard of last", Args: noArgs,
	}
	t := topicFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return t.do(cmd, func(ctx context.Context, c *client) error {
			found, err := c.cluster.DescribeCluster(ctx, &streamhousev1.DescribeClusterRequest{}, grpc.MaxCallRecvMsgSize(maxDescription))
			if err != nil {
				return err
			}
			if *t.output == jsonOutput {
				return printJSON(cmd, describedCluster(found))
			}
			return printCluster(cmd, found)
		})
	}
	return cmd
}

// maxDescription is room for some 100,000 partitions.
const maxDescription = 16 << 20

func describedCluster(found *streamhousev1.DescribeClusterResponse) clusterJSON {
	out := clusterJSON{Agents: []agentJSON{}, Partitions: []clusterPartitionJSON{}}
	for _, a := range found.GetAgents() {
		out.Agents = append(out.Agents, agentJSON{
			Name: a.GetName(), Session: a.GetSession(), Zone: a.GetZone(), Address: a.GetAddress(), Version: a.GetVersion(),
			State: stateOf(a), PartitionCount: a.GetPartitionCount(), AssignedCount: a.GetAssignedCount(),
			HeartbeatAgoMS: a.GetHeartbeatAgoMs(), LeaseMS: a.GetLeaseMs(),
		})
	}
	for _, p := range found.GetPartitions() {
		out.Partitions = append(out.Partitions, clusterPartitionJSON{
			Topic: p.GetTopic(), Partition: p.GetPartition(), Owner: p.GetOwner(), Assigned: p.GetAssigned(), Epoch: p.GetEpoch(),
		})
	}
	return out
}

// stateOf is "live", "leaving" or "dead".
func stateOf(a *streamhousev1.ClusterAgent) string {
	return strings.ToLower(strings.TrimPrefix(a.GetState().String(), "AGENT_STATE_"))
}

func printCluster(cmd *cobra.Command, found *streamhousev1.DescribeClusterResponse) error {
	out := cmd.OutOrStdout()
	agents, partitions := found.GetAgents(), found.GetPartitions()
	fmt.Fprintf(out, "%d agent%s, %s\n\n", len(agents), plural(len(agents)), partitionsOf(uint32(len(partitions))))
	if err := table.Write(out, []table.Column{
		{Title: "AGENT", Flexible: true},
		{Title: "ZONE"},
		{Title: "ADDRESS"},
		{Title: "STATE"},
		{Title: "PARTITIONS", Right: true},
		{Title: "LOAD", Right: true},
		{Title: "HEARTBEAT", Right: true},
		{Title: "SESSION"},
	}, agentRows(agents, len(partitions))); err != nil {
		return err
	}
	if len(partitions) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	return table.Write(out, []table.Column{
		{Title: "TOPIC", Flexible: true},
		{Title: "PARTITIONS", Right: true},
		{Title: "NO OWNER", Right: true},
		{Title: "TO MOVE", Right: true},
		{Title: "EPOCHS", Right: true},
	}, topicRows(partitions))
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// agentRows has the load of each as a multiple of the mean. Of a session's id
// the beginning is enough to tell it.
func agentRows(agents []*streamhousev1.ClusterAgent, partitions int) (rows [][]string) {
	const enough = 8
	for _, a := range agents {
		load := "-"
		if partitions > 0 {
			load = fmt.Sprintf("%.2fx", float64(a.GetPartitionCount())*float64(len(agents))/float64(partitions))
		}
		ago := time.Duration(a.GetHeartbeatAgoMs()) * time.Millisecond
		rows = append(rows, []string{
			dash(a.GetName()), dash(a.GetZone()), dash(a.GetAddress()), stateOf(a), fmt.Sprint(a.GetPartitionCount()), load,
			fmt.Sprintf("%.1fs ago", ago.Seconds()), a.GetSession()[:min(enough, len(a.GetSession()))],
		})
	}
	return rows
}

// topicRows sums the partitions up, which are sorted by topic.
func topicRows(partitions []*streamhousev1.ClusterPartition) (rows [][]string) {
	for len(partitions) > 0 {
		topic := partitions[0].GetTopic()
		n, free, moving := 0, 0, 0
		low, high := partitions[0].GetEpoch(), uint64(0)
		for n < len(partitions) && partitions[n].GetTopic() == topic {
			p := partitions[n]
			low, high = min(low, p.GetEpoch()), max(high, p.GetEpoch())
			switch {
			case p.GetOwner() == "":
				free++
			case p.GetOwner() != p.GetAssigned():
				moving++
			}
			n++
		}
		rows = append(rows, []string{topic, fmt.Sprint(n), fmt.Sprint(free), fmt.Sprint(moving), fmt.Sprintf("%d-%d", low, high)})
		partitions = partitions[n:]
	}
	return rows
}
