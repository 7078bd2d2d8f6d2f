// Package aws tests agents of --store aws from outside: real processes and the
// real SDK, against the stand-in of tests/standin, or any other server that
// STREAMHOUSE_TEST_AWS_ENDPOINT names (LocalStack, moto).
//
// All of them prove that our code paths work, not that AWS accepts the requests.
package aws

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// envEndpoint names a server that runs already, envBucket and envPrefix what stands
// there for one cluster, as Terraform has made it.
const (
	envEndpoint = "STREAMHOUSE_TEST_AWS_ENDPOINT"
	envBucket   = "STREAMHOUSE_TEST_AWS_BUCKET"
	envPrefix   = "STREAMHOUSE_TEST_AWS_TABLE_PREFIX"
)

func TestMain(m *testing.M) {
	// What this machine knows of AWS is kept out; agents inherit all of it.
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_ENDPOINT_URL_DYNAMODB": "", "AWS_PROFILE": "", "AWS_SESSION_TOKEN": "", "AWS_CA_BUNDLE": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	flag.Parse()
	// The tests wait for leases and pauses rather than compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	process.Main(m)
}

// patience is how long a test waits for what takes seconds at most.
const patience = 60 * time.Second

// newStore makes a store of a test's own at an endpoint, unless one is given.
// Only one test that is run with one may start agents on it.
func newStore(t *testing.T, endpoint string) agent.AWSConfig {
	t.Helper()
	if bucket := os.Getenv(envBucket); bucket != "" {
		return agent.AWSConfig{Bucket: bucket, TablePrefix: os.Getenv(envPrefix), EndpointURL: endpoint}
	}
	name := fmt.Sprintf("test-%08x", time.Now().UnixNano()&0xffffffff)
	cfg := agent.AWSConfig{Bucket: name, TablePrefix: name, EndpointURL: endpoint}
	if err := agent.CreateStore(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// endpoint is that of the server that runs already, or of a new stand-in.
func endpoint(t *testing.T) string {
	t.Helper()
	if url := os.Getenv(envEndpoint); url != "" {
		return url
	}
	return process.StartStandin(t).Endpoint
}

// flags are those of agents on a store, with a short lease.
func flags(cfg agent.AWSConfig, name string, more ...string) []string {
	return append([]string{
		"--store=aws", "--store-bucket=" + cfg.Bucket, "--store-table-prefix=" + cfg.TablePrefix, "--store-endpoint-url=" + cfg.EndpointURL,
		"--name=" + name, "--session-heartbeat=250ms", "--session-lease=1250ms", "--flush-max-per-second=0",
	}, more...)
}

// newProducer makes a producer for an agent. The test closes it.
func newProducer(t *testing.T, a *process.Agent, topic string, opts ...producer.Option) *producer.Producer {
	t.Helper()
	p, err := producer.New(t.Context(), a.Addr, append([]producer.Option{
		producer.WithTopic(topic), producer.WithPartitioner(producer.Manual()), producer.WithLinger(0),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.Close(ctx) // after a test that closed it, it only repeats itself
	})
	return p
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}
