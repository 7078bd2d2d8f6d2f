package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/table"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

func TestClusterDescribe(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "b", "--partitions", "3")
	out := s.run("", "cluster", "describe")
	for _, want := range []string{"1 agent, 3 partitions\n\nAGENT", "live", "1.00x", s.server, "\nTOPIC  PARTITIONS  NO OWNER  TO MOVE  EPOCHS\nb               3         0        0     1-1\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	var got clusterJSON
	decode(t, s.run("", "cluster", "describe", "--output", "json"), &got)
	if len(got.Agents) != 1 || len(got.Partitions) != 3 {
		t.Fatalf("described as %+v", got)
	}
	a := got.Agents[0]
	if a.State != "live" || a.Address != s.server || a.PartitionCount != 3 || a.AssignedCount != 3 || a.HeartbeatAgoMS > 10_000 || a.LeaseMS != 10_000 {
		t.Errorf("the agent is %+v", a)
	}
	for i, p := range got.Partitions {
		if p.Topic != "b" || p.Partition != uint32(i) || p.Owner != a.Session || p.Assigned != a.Session || p.Epoch != 1 {
			t.Errorf("partition %d is %+v", i, p)
		}
	}
}

// The tables stay within their width, with the names of a cloud too.
func TestClusterWidth(t *testing.T) {
	found := &streamhousev1.DescribeClusterResponse{}
	for i := range 3 {
		found.Agents = append(found.Agents, &streamhousev1.ClusterAgent{
			Session: strings.Repeat("f", 32), Name: fmt.Sprint("ip-10-0-31-250.eu-central-1.compute.internal-", i), Zone: "eu-central-1a",
			Address: "10.100.131.250:7070", State: streamhousev1.AgentState_AGENT_STATE_LEAVING, PartitionCount: 10_000, HeartbeatAgoMs: 123_456,
		})
	}
	for i := range 2000 {
		found.Partitions = append(found.Partitions, &streamhousev1.ClusterPartition{Topic: strings.Repeat("t", 249), Partition: uint32(i), Epoch: uint64(i) * 1e6})
	}
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	if err := printCluster(cmd, found); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > table.Width {
			t.Errorf("a line has %d characters: %s", n, line)
		}
	}
}
