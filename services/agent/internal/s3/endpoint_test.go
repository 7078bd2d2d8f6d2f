//go:build endpoint

package s3_test

import (
	"os"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
	"github.com/streamhouse/streamhouse/services/agent/internal/s3"
)

// TestEndpoint runs the suite against a server that runs already: moto_server,
// which .ci/test-moto starts with a lock around it, or LocalStack. moto differs
// from S3 in that it does not verify checksums.
func TestEndpoint(t *testing.T) {
	endpoint := os.Getenv("STREAMHOUSE_TEST_AWS_ENDPOINT")
	if endpoint == "" {
		t.Fatal("STREAMHOUSE_TEST_AWS_ENDPOINT names no server: run 'task test-moto' or 'task test-local'")
	}
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		t.Helper()
		s := open(t, config(endpoint), s3.Options{Bucket: newBucket(t, config(endpoint)), Prefix: "suite"})
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	})
}
