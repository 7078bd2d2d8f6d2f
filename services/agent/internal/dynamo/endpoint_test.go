//go:build endpoint

package dynamo_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta/metatest"
)

// TestEndpoint runs the suite against a server that runs already: moto_server,
// which .ci/test-moto starts with a lock around it, or LocalStack. moto differs
// from DynamoDB in that it counts half a unit for any write and takes no notice
// of a table that is still being created.
func TestEndpoint(t *testing.T) {
	endpoint := os.Getenv("STREAMHOUSE_TEST_AWS_ENDPOINT")
	if endpoint == "" {
		t.Fatal("STREAMHOUSE_TEST_AWS_ENDPOINT names no server: run 'task test-moto' or 'task test-local'")
	}
	metatest.Run(t, func(t *testing.T) meta.Store {
		t.Helper()
		s := open(t, config(endpoint), dynamo.Options{TablePrefix: fmt.Sprintf("suite%d", worlds.Add(1))})
		if err := s.CreateTables(t.Context(), dynamo.TableOptions{PointInTimeRecovery: true}); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	})
}
