// Package local runs the tests that any server in the place of AWS has to pass
// against LocalStack, in a container that testcontainers starts: the stores'
// conformance suites, agents from outside, the command line tool.
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
	"testing"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/localstack"
)

// defaultImage is the last that needs no token; see localstack/compose.yaml.
const defaultImage = "localstack/localstack:4.14.0"

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
	env := map[string]string{"SERVICES": "s3,dynamodb"}
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
	cmd := exec.CommandContext(t.Context(), "../../.ci/test-endpoint")
	cmd.Env = append(os.Environ(), "GOWORK=", "STREAMHOUSE_TEST_AWS_ENDPOINT="+endpoint)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Errorf("tests against %s at %s: %v", image, endpoint, err)
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
