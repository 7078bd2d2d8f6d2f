// Package local runs the tests that any server in the place of AWS has to pass
// against LocalStack, in a container that testcontainers starts: the stores'
// conformance suites, agents from outside, the command line tool. The agents
// live in the bucket and the tables that Terraform makes there, with the module
// that users apply.
//
// It is a module outside of the workspace, so that what it needs stays out of
// the others.
package local

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/localstack"
)

// defaultImage is the last that needs no token; see localstack/compose.yaml.
const defaultImage = "localstack/localstack:4.14.0"

// patience is how long one command may take; the first compiles.
const patience = 5 * time.Minute

func TestLocalStack(t *testing.T) {
	// The reaper is an image of its own; what we start we also remove.
	t.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
	// In a container, testcontainers looks for ports at the gateway; but where
	// the engine's own bridge is here, so are they.
	if _, err := net.InterfaceByName("docker0"); err == nil && os.Getenv("TESTCONTAINERS_HOST_OVERRIDE") == "" {
		t.Setenv("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
	}
	if err := docker(t); err != nil {
		t.Fatalf("there is no Docker engine that answers: start one, these tests need it to run LocalStack: %v", err)
	}
	image := cmp.Or(os.Getenv("LOCALSTACK_IMAGE"), defaultImage)
	t.Logf("the server is %s", image)
	env := map[string]string{"SERVICES": "s3,dynamodb,sts"}
	if token := os.Getenv("LOCALSTACK_AUTH_TOKEN"); token != "" {
		env["LOCALSTACK_AUTH_TOKEN"] = token
	}
	container, err := localstack.Run(t.Context(), image, testcontainers.WithEnv(env))
	testcontainers.CleanupContainer(t, container)
	if err != nil {
		t.Fatalf("start %s: where no registry can be reached, run 'task standin' and set LOCALSTACK_IMAGE=streamhouse/standin:4.14.0: %v", image, err)
	}
	endpoint, err := container.PortEndpoint(t.Context(), "4566/tcp", "http")
	if err != nil {
		t.Fatal(err)
	}
	s := applyStorage(t, endpoint)
	cmd := exec.CommandContext(t.Context(), "../../.ci/test-endpoint")
	cmd.Env = append(os.Environ(), "GOWORK=", "STREAMHOUSE_TEST_AWS_ENDPOINT="+endpoint,
		"STREAMHOUSE_TEST_AWS_BUCKET="+s.bucket, "STREAMHOUSE_TEST_AWS_TABLE_PREFIX="+s.prefix)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Errorf("tests against %s at %s: %v", image, endpoint, err)
	}
	s.lived()
	s.unchanged()
	s.destroy()
	s.gone()
}

// lived fails the test unless agents have written to what Terraform made.
func (s *storage) lived() {
	s.t.Helper()
	out, err := s.tool("verify", "events", "--store=aws", "--store-bucket="+s.bucket, "--store-table-prefix="+s.prefix)
	s.t.Logf("%s", out)
	if err != nil || strings.Contains(string(out), " 0 records") {
		s.t.Errorf("the agents' log in what Terraform made: %v\n%s", err, out)
	}
}

// gone fails the test where anything is left of what was destroyed.
func (s *storage) gone() {
	s.t.Helper()
	out, err := s.tool("store", "check", "--bucket="+s.bucket, "--table-prefix="+s.prefix)
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("there is no bucket %q", s.bucket)) {
		s.t.Errorf("after the bucket was destroyed: %v\n%s", err, out)
	}
	for _, kind := range []string{"sessions", "partitions", "journal", "index", "merges", "topics", "tombstones", "counters"} {
		if !strings.Contains(string(out), fmt.Sprintf("there is no table %q", s.prefix+"-"+kind)) {
			s.t.Errorf("after the tables were destroyed, that of %s is there:\n%s", kind, out)
		}
	}
}

// docker asks the engine whether it is there. Where none is, the library
// panics.
func docker(t *testing.T) (err error) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return err
	}
	defer provider.Close()
	return provider.Health(t.Context())
}
