//go:build terraform

package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tfjson "github.com/hashicorp/terraform-json"
)

// cli runs Terraform on the example for a stand-in, with a state of its own.
type cli struct {
	t        *testing.T
	dir      string
	endpoint string
	calls    *recorder
}

func newCLI(t *testing.T) *cli {
	t.Helper()
	calls := record(t, startStandin(t))
	c := &cli{t: t, dir: t.TempDir(), endpoint: calls.server.URL, calls: calls}
	c.run("init")
	return c
}

// run fails the test unless Terraform succeeds.
func (c *cli) run(args ...string) []byte {
	c.t.Helper()
	out, _, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// try returns what Terraform wrote and its exit code.
func (c *cli) try(args ...string) (out []byte, code int, err error) {
	c.t.Helper()
	began := time.Now()
	cmd := exec.CommandContext(c.t.Context(), "terraform", args...)
	cmd.Dir = filepath.Join(root, "examples/local")
	cmd.Env = append(os.Environ(), "TF_DATA_DIR="+c.dir, "AWS_ENDPOINT_URL="+c.endpoint, "TF_CLI_ARGS=-no-color")
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err = cmd.Output()
	c.t.Logf("terraform %s: %.0f s", args[0], time.Since(began).Seconds())
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	}
	return append(out, log.Bytes()...), code, err
}

func (c *cli) path(name string) string { return filepath.Join(c.dir, name) }

func (c *cli) state() string { return "-state=" + c.path("state") }

// plan plans with these variables. Changes are 2 as an exit code.
func (c *cli) plan(vars ...string) (plan *tfjson.Plan, changes bool) {
	c.t.Helper()
	out, code, err := c.try(append([]string{"plan", "-input=false", "-detailed-exitcode", c.state(), "-out=" + c.path("plan")}, vars...)...)
	if code != 2 && err != nil {
		c.t.Fatalf("terraform plan: %v\n%s", err, out)
	}
	plan = &tfjson.Plan{}
	plan.UseJSONNumber(true)
	if err := json.Unmarshal(c.run("show", "-json", c.path("plan")), plan); err != nil {
		c.t.Fatal(err)
	}
	return plan, code == 2
}

func (c *cli) apply() {
	c.t.Helper()
	c.run("apply", "-input=false", "-parallelism=30", c.state(), c.path("plan"))
}

// startStandin starts the server that stands in for AWS, and ends it with the test.
func startStandin(t *testing.T) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.Command("python3", "../moto/server.py", host, port, "--attached")
	log := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("the stand-in needs Python 3 with moto (pip install 'moto[server]==5.2.1'): %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		in.Close() // ends it
		err := <-ended
		if t.Failed() {
			t.Logf("the stand-in ended: %v", err)
		}
		if t.Failed() && log.Len() > 0 {
			t.Logf("the stand-in's log ends with\n%s", log.Bytes()[max(0, log.Len()-4000):])
		}
	})
	endpoint = "http://" + net.JoinHostPort(host, port)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if res, err := http.Get(endpoint + "/moto-api/"); err == nil {
			res.Body.Close()
			return endpoint
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the stand-in needs moto (pip install 'moto[server]==5.2.1'): %v\n%s", err, log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the stand-in does not answer")
		}
	}
}

// ask sends an AWS request that lists something. Nobody checks its signature.
func (c *cli) ask(service, target, body string) string {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodPost, c.endpoint+"/", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if target == "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", target)
	}
	if service == "s3" {
		req.Method = http.MethodGet
	}
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=asking/20260101/us-east-1/%s/aws4_request, SignedHeaders=host, Signature=0", service))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		c.t.Fatalf("%s %s: %s %v\n%s", service, target, res.Status, err, answer)
	}
	return string(answer)
}
