package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// Three agents share a store under load. One is killed and comes back, one
// stands still for longer than its lease and then goes on, one drains: the
// others take over each time, and no record fails, is lost, doubled or swapped.
func TestCluster(t *testing.T) {
	const partitions = 12
	flags := append(process.StartStore(t), noCeiling, "--session-heartbeat=300ms", "--session-lease=1500ms")
	agents := make([]*process.Agent, 3)
	for i := range agents {
		agents[i] = process.NewAgent(t, "", append(slices.Clone(flags), fmt.Sprint("--name=agent-", i))...)
		agents[i].Start()
	}
	agents[0].CreateTopic("shared", partitions)
	balanced(t, agents[0], 3, partitions)
	l := startLoad(t, agents[0], "shared", partitions, seed(t))
	l.more(t, 1000)

	agents[1].Kill()
	balanced(t, agents[0], 2, partitions)
	l.more(t, 1000)
	agents[1].Start()
	balanced(t, agents[0], 3, partitions)

	agents[2].Signal(syscall.SIGSTOP)
	balanced(t, agents[0], 2, partitions)
	agents[2].Signal(syscall.SIGCONT)
	agents[2].AwaitLog("session over")
	balanced(t, agents[0], 3, partitions)
	l.more(t, 1000)
	described(t, agents[1], partitions)
	consumed(t, agents[1], "shared", l.history.Counts().Acked)

	for _, a := range agents[1:] { // at last, the first one has all to read from
		began := time.Now()
		if code := a.Terminate(); code != 0 {
			t.Errorf("exit code %d\n%s", code, a.Log())
		}
		if took := time.Since(began); took > 100*time.Second { // ECS kills after 120 s
			t.Errorf("the drain took %s", took)
		}
	}
	balanced(t, agents[0], 1, partitions)
	l.more(t, 1000)
	l.stop(t)
	c := agents[0].Client()
	l.history.Verify(t, c.Topics, c.Consumer, "shared")
	if counts := l.history.Counts(); counts.Acked != counts.Sent {
		t.Errorf("%v: no record may fail", counts)
	}
}

// described requires that the command line tool shows all agents and what each owns.
func described(t *testing.T, a *process.Agent, partitions uint64) {
	t.Helper()
	var found struct {
		Agents []struct {
			Name       string `json:"name"`
			Partitions uint64 `json:"partition_count"`
		} `json:"agents"`
	}
	out := a.Succeed("cluster", "describe", "--output", "json")
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("cluster describe: %v: %s", err, out)
	}
	owned := uint64(0)
	for _, agent := range found.Agents {
		owned += agent.Partitions
	}
	if len(found.Agents) != 3 || owned != partitions {
		t.Errorf("cluster describe shows %d agents that own %d partitions: %s", len(found.Agents), owned, out)
	}
}

// consumed requires that the command line tool, of an agent that owns a part of a
// topic, reads all of it, by offsets and by time.
func consumed(t *testing.T, a *process.Agent, topic string, acked int) {
	t.Helper()
	for _, from := range [][]string{nil, {"--since", "1h"}} {
		out := a.Succeed(append([]string{"consume", topic, "--format", "%o\\n"}, from...)...)
		if got := strings.Count(out, "\n"); got < acked {
			t.Errorf("consume %v prints %d records, and %d were acknowledged", from, got, acked)
		}
	}
}

// balanced waits until a number of agents own everything, each about as much as
// the others.
func balanced(t *testing.T, a *process.Agent, live int, partitions uint32, opts ...grpc.DialOption) {
	t.Helper()
	cluster := streamhousev1.NewClusterServiceClient(a.Client(opts...).Conn)
	eventually(t, fmt.Sprintf("%d agents own %d partitions", live, partitions), func() bool {
		found, err := cluster.DescribeCluster(t.Context(), &streamhousev1.DescribeClusterRequest{})
		if err != nil || len(found.GetAgents()) != live {
			return false
		}
		owned := uint32(0)
		for _, a := range found.GetAgents() {
			if a.GetPartitionCount() != a.GetAssignedCount() || a.GetPartitionCount() == 0 {
				return false
			}
			owned += a.GetPartitionCount()
		}
		return owned == partitions
	})
}
