// Package e2e tests StreamHouse from outside: real agent processes, the real
// command line tool, real sockets and files.
package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

func TestMain(m *testing.M) { process.Main(m) }

// noCeiling lets an agent flush as often as it can, so that tests do not wait.
const noCeiling = "--flush-max-per-second=0"

// patience is how long a test waits for what takes milliseconds.
const patience = 30 * time.Second

// newProducer makes a producer for an agent. The test closes it.
func newProducer(t *testing.T, a *process.Agent, topic string, opts ...producer.Option) *producer.Producer {
	t.Helper()
	opts = append([]producer.Option{producer.WithTopic(topic), producer.WithPartitioner(producer.Manual()), producer.WithLinger(0)}, opts...)
	p, err := producer.New(t.Context(), a.Addr, opts...)
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
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}
