package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// A cluster is upgraded, agent by agent and under load, to a release that brings
// a new format; back; and up to the release that writes it. No record
// fails. Only then an agent of the first release ends at once, and says why.
func TestRollingUpgradeAndBack(t *testing.T) {
	t.Parallel()
	const partitions = 6
	reader, writer := process.BuildRelease(t, 2, 1), process.BuildRelease(t, 2, 2)
	flags := append(process.StartStoreOf(t, reader), noCeiling, "--session-heartbeat=300ms", "--session-lease=1500ms")
	agents := make([]*process.Agent, 2)
	for i := range agents {
		agents[i] = process.NewAgent(t, "", append(slices.Clone(flags), fmt.Sprint("--name=agent-", i))...)
		agents[i].Start()
	}
	agents[0].CreateTopic("upgraded", partitions)
	balanced(t, agents[0], 2, partitions)
	l := startLoad(t, agents[0], "upgraded", partitions, seed(t))
	for _, program := range []string{reader, "", writer} {
		for _, a := range agents {
			if code := a.Terminate(); code != 0 {
				t.Fatalf("exit code %d\n%s", code, a.Log())
			}
			a.Program = program
			a.Start()
			balanced(t, a, 2, partitions)
			l.more(t, 300)
		}
	}
	time.Sleep(time.Second) // some heartbeats: their rows are what the old one reads
	l.stop(t)
	old := process.NewAgent(t, "", flags...)
	if code, said := old.TryStart(); code != 1 || !strings.Contains(said, "has format 2, and this version of StreamHouse reads up to 1: upgrade it") {
		t.Errorf("an agent of the first release: exit code %d, %s", code, said)
	}
	if code := agents[1].Terminate(); code != 0 { // the other one has all to read from
		t.Fatalf("exit code %d", code)
	}
	balanced(t, agents[0], 1, partitions)
	c := agents[0].Client()
	l.history.Verify(t, c.Topics, c.Consumer, "upgraded")
	if counts := l.history.Counts(); counts.Acked != counts.Sent {
		t.Errorf("%v: no record may fail", counts)
	}
}
