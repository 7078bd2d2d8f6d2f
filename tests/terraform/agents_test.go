//go:build terraform

package terraform

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	tfjson "github.com/hashicorp/terraform-json"
)

// agents runs two agents with the environment of the task definition that was
// applied, on its tables and bucket: one is killed, the other one goes on with its
// partitions. What they asked AWS for is what their role allows.
func (c *cli) agents() {
	c.t.Helper()
	s := c.applied()
	bin := c.t.TempDir()
	build := exec.CommandContext(c.t.Context(), "go", "build", "-o", bin, "../../cmd/streamhouse", "../../services/agent/cmd/streamhouse-agent")
	if out, err := build.CombinedOutput(); err != nil {
		c.t.Fatalf("%v\n%s", err, out)
	}
	var env []string
	for _, e := range list(containers(s["aws_ecs_task_definition"][0])[0]["environment"]) {
		env = append(env, fmt.Sprintf("%v=%v", e["name"], e["value"]))
	}
	// Settings of a task, but sooner: what is written is merged, and what that
	// leaves is removed, while the test looks on.
	env = append(env, "STREAMHOUSE_COMPACTION_AGE=1s", "STREAMHOUSE_CLEANUP_INTERVAL=1s", "STREAMHOUSE_CLEANUP_GRACE=1s")
	c.stray(fmt.Sprint(s["aws_s3_bucket"][0]["bucket"]))
	one, two := c.startAgent(bin, env), c.startAgent(bin, env)
	c.calls.startOver() // an agent that starts tries each kind of request on each table
	tool := func(input string, args ...string) string { return c.tool(bin, two.address, input, args...) }

	tool("", "topic", "create", "orders", "--partitions", "4")
	for n := range 8 { // some commits each: the newest one of a session is never removed
		tool(lines(125, 1+125*n), "produce", "orders")
	}
	// What nobody asks an agent for needs its role all the same.
	c.works("compaction announces what it writes", "PutItem", "merges")
	c.works("compaction writes the index", "PutItem", "index")
	c.works("clean-up removes what was committed and is merged", "DeleteItem", "journal")
	c.works("clean-up removes small segments", "DeleteObject", "objects")
	c.works("clean-up looks for what nobody committed", "ListBucket", "objects")
	if err := one.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	_ = one.cmd.Wait()
	tool(lines(1000, 1001), "produce", "orders")
	// Until the lease of the one that was killed is over, its partitions cannot be read.
	out, err := c.tryTool(bin, two.address, "", "consume", "orders")
	for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); time.Sleep(time.Second) {
		out, err = c.tryTool(bin, two.address, "", "consume", "orders")
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.works("readers look into the index", "Query", "index")
	got := strings.Fields(out)
	slices.Sort(got)
	want := strings.Fields(lines(2000, 1))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		c.t.Errorf("%d records were produced, %d read: not the same", len(want), len(got))
	}
	tool("", "topic", "delete", "orders", "--yes")

	if err := two.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	if err := two.cmd.Wait(); err != nil {
		c.t.Errorf("an agent did not drain: %v\n%s", err, two.log)
	}
	if out := two.out.String(); !strings.Contains(out, `"Namespace":"StreamHouse"`) || !strings.Contains(out, `"Cluster":"streamhouse"`) {
		c.t.Errorf("an agent reports no metrics of its cluster: %q", out)
	}
	c.agentsMay(s)
}

// works waits until agents have asked for an operation on rows of a kind, or on
// objects.
func (c *cli) works(what, operation, kind string) {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !c.calls.asked(operation, kind); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: no agent has asked for %s on %s", what, operation, kind)
		}
	}
}

// agentsMay compares what agents asked AWS for with what their role allows.
func (c *cli) agentsMay(s stack) {
	c.t.Helper()
	asked := c.calls.of("agent")
	var allowed []string
	for _, p := range s["aws_iam_role_policy"] {
		if p["name"] == "log" {
			for _, st := range statements(p["policy"]) {
				allowed = append(allowed, st.Action...)
			}
		}
	}
	slices.Sort(asked)
	slices.Sort(allowed)
	if !slices.Equal(asked, allowed) {
		c.t.Errorf("agents ask for %v,\nand their role allows %v", asked, allowed)
	}
	for _, action := range allowed {
		// Uploads are looked for when an agent starts, and never again.
		if !c.calls.worked(action) && !strings.Contains(action, "Multipart") {
			c.t.Errorf("agents ask for %s only to see whether they may", action)
		}
	}
}

// stray begins a multipart upload that nobody completes. The stand-in says of
// each that it is years old.
func (c *cli) stray(bucket string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.endpoint+"/"+bucket+"/stray?uploads", http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=asking/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		c.t.Fatalf("begin a multipart upload: %s", res.Status)
	}
}

func (c *cli) applied() stack {
	c.t.Helper()
	var state tfjson.State
	state.UseJSONNumber(true)
	if err := json.Unmarshal(c.run("show", "-json", c.path("state")), &state); err != nil {
		c.t.Fatal(err)
	}
	return collect(state.Values.RootModule)
}

type agent struct {
	cmd      *exec.Cmd
	address  string
	out, log *bytes.Buffer
}

func (c *cli) startAgent(bin string, env []string) agent {
	c.t.Helper()
	ready := filepath.Join(c.t.TempDir(), "ready")
	a := agent{cmd: exec.Command(filepath.Join(bin, "streamhouse-agent")), out: &bytes.Buffer{}, log: &bytes.Buffer{}}
	a.cmd.Stdout, a.cmd.Stderr = a.out, a.log
	a.cmd.Env = append(slices.Clone(env),
		// What ECS gives a task, and an address of this machine's own: the port
		// of the task definition is the same for all.
		"AWS_ENDPOINT_URL="+c.endpoint, "AWS_ACCESS_KEY_ID=agent", "AWS_SECRET_ACCESS_KEY=agent",
		"STREAMHOUSE_LISTEN=internal=127.0.0.1:0", "STREAMHOUSE_READY_FILE="+ready)
	if err := a.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = a.cmd.Process.Kill() })
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var r struct{ Addresses map[string]string }
		if b, err := os.ReadFile(ready); err == nil && json.Unmarshal(b, &r) == nil {
			a.address = r.Addresses["internal"]
			return a
		}
	}
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
	c.t.Fatalf("an agent does not start with what the task definition tells it:\n%s", a.log)
	return a
}

func (c *cli) tool(bin, server, input string, args ...string) string {
	c.t.Helper()
	out, err := c.tryTool(bin, server, input, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *cli) tryTool(bin, server, input string, args ...string) (string, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "streamhouse"), append(args, "--server", server)...)
	cmd.Stdin = strings.NewReader(input)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("streamhouse %v: %w\n%s", args, err, &log)
	}
	return string(out), nil
}

func lines(n, from int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "record-%d\n", from+i)
	}
	return s.String()
}
