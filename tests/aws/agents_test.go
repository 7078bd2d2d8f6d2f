package aws

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// TestAgents is the story that an agent has to live through on any server: it
// drains and comes back, is joined by another, which is killed, and takes over
// from it, all under load.
func TestAgents(t *testing.T) {
	t.Parallel()
	cfg := newStore(t, endpoint(t))
	first, second := process.NewAgent(t, "", flags(cfg, "first")...), process.NewAgent(t, "", flags(cfg, "second")...)
	first.Start()
	live(t, first, second)
}

const partitions = 6

// live tells the story of TestAgents; the first agent runs.
func live(t *testing.T, first, second *process.Agent) {
	t.Helper()
	first.CreateTopic("events", partitions)
	l := startLoad(t, first, "events", partitions)
	l.more(t, 250)

	if code := first.Terminate(); code != 0 {
		t.Errorf("exit code %d\n%s", code, first.Log())
	}
	first.Start()
	l.more(t, 250)

	second.Start()
	owned(t, first, 2)
	l.more(t, 250)

	second.Kill()
	owned(t, first, 1)
	l.more(t, 250)
	l.verify(t, first, "events")
	if code := first.Terminate(); code != 0 {
		t.Errorf("exit code %d\n%s", code, first.Log())
	}
}

// owned waits until a number of agents own all partitions, each its share.
func owned(t *testing.T, a *process.Agent, agents int) {
	t.Helper()
	cluster := streamhousev1.NewClusterServiceClient(a.Client().Conn)
	eventually(t, fmt.Sprintf("%d agents own everything", agents), func() bool {
		found, err := cluster.DescribeCluster(t.Context(), &streamhousev1.DescribeClusterRequest{})
		if err != nil || len(found.GetAgents()) != agents {
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

// TestCommands holds the command line tool to what it says of stores on AWS.
func TestCommands(t *testing.T) {
	t.Parallel()
	url := endpoint(t)
	cfg := newStore(t, url)
	a := process.NewAgent(t, "") // of which only the tool is used
	at := []string{"--bucket=" + cfg.Bucket, "--table-prefix=" + cfg.TablePrefix, "--endpoint-url=" + url}
	for _, action := range []string{"check", "create", "check"} {
		if out := a.Succeed(append([]string{"store", action}, at...)...); !strings.Contains(out, cfg.Bucket) {
			t.Errorf("store %s: %s", action, out)
		}
	}
	missing := a.Run(process.Command{Args: []string{"store", "check", "--bucket=nobodys", "--table-prefix=none", "--endpoint-url=" + url}})
	for _, want := range []string{`there is no bucket "nobodys"`, `there is no table "none-journal"`} {
		if missing.Code != 1 || !strings.Contains(missing.Stderr, want) {
			t.Errorf("exit code %d: %s\nwant %q", missing.Code, missing.Stderr, want)
		}
	}
	if r := a.Run(process.Command{Args: []string{"store", "create"}}); r.Code != 2 || !strings.Contains(r.Stderr, "--bucket") {
		t.Errorf("exit code %d: %s", r.Code, r.Stderr)
	}
	if r := a.Run(process.Command{Args: []string{"demo", "--aws"}}); r.Code != 2 || !strings.Contains(r.Stderr, "--bucket") {
		t.Errorf("exit code %d: %s", r.Code, r.Stderr)
	}

	demo := a.Succeed(append([]string{"demo", "--aws", "--records=5000"}, at...)...)
	if !strings.HasSuffix(demo, "\nverified 5000 records\n") || !strings.Contains(demo, "$0.0000") {
		t.Errorf("demo: %s", demo)
	}
	out := a.Succeed(append([]string{"bench", "--store=aws", "--duration=500ms", "--warmup=200ms", "--rate=50000", "--store-latency=5ms/9ms,2ms/4ms"}, at...)...)
	if !strings.Contains(out, "aws store") || !strings.Contains(out, "per GiB") {
		t.Errorf("bench: %s", out)
	}
	// Nothing of the demo's own store is left.
	trial := regexp.MustCompile(cfg.TablePrefix + `-trial-[0-9a-f]{8}`).FindString(demo)
	gone := a.Run(process.Command{Args: []string{"store", "check", "--bucket=" + cfg.Bucket, "--table-prefix=" + trial, "--endpoint-url=" + url}})
	for _, kind := range []string{"sessions", "partitions", "journal", "index", "merges", "topics", "tombstones", "counters"} {
		if !strings.Contains(gone.Stderr, `there is no table "`+trial+"-"+kind) {
			t.Errorf("after the demo: %s", gone.Stderr)
		}
	}
}
