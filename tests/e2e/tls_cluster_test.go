package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/certificate"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// clusterName is what all agents' certificates are for.
const clusterName = "agents.streamhouse.internal"

// Agents advertise addresses, and their certificate has only a name, from an
// authority that no system knows. They reach each other all the same: partitions
// go from agent to agent when one joins and when one drains, and no record
// fails.
func TestClusterOverTLS(t *testing.T) {
	t.Parallel()
	const partitions = 12
	ca := certificate.NewAuthority(t, "ours")
	files := writeTLS(t, t.TempDir(), ca.Named(clusterName))
	flags := append(process.StartStore(t), noCeiling, "--session-heartbeat=300ms", "--session-lease=1500ms")
	agents := make([]*process.Agent, 2)
	for i := range agents {
		agents[i] = process.NewAgent(t, "", append(slices.Clone(flags), append(files.flags(), fmt.Sprint("--name=agent-", i))...)...)
	}
	agents[0].Start()
	trust := ca.Trust()
	trust.ServerName = clusterName
	dial := grpc.WithTransportCredentials(credentials.NewTLS(trust))
	c := agents[0].Client(dial)
	if _, err := c.Topics.CreateTopic(t.Context(), &streamhousev1.CreateTopicRequest{Name: "shared", PartitionCount: partitions}); err != nil {
		t.Fatal(err)
	}
	l := startLoad(t, agents[0], "shared", partitions, seed(t), producer.WithTLS(ca.Trust()), producer.WithServerName(clusterName))
	l.more(t, 1000)

	agents[1].Start()
	agents[0].AwaitLog("partitions handed over")
	balanced(t, agents[0], 2, partitions, dial)
	l.more(t, 1000)
	if code := agents[1].Terminate(); code != 0 {
		t.Errorf("exit code %d\n%s", code, agents[1].Log())
	}
	if strings.Contains(agents[1].Log(), "not reached") {
		t.Errorf("an agent that drains does not reach the other:\n%s", agents[1].Log())
	}
	balanced(t, agents[0], 1, partitions, dial)
	l.more(t, 1000)
	l.stop(t)
	l.history.Verify(t, c.Topics, c.Consumer, "shared")
	if counts := l.history.Counts(); counts.Acked != counts.Sent {
		t.Errorf("%v: no record may fail", counts)
	}
}
