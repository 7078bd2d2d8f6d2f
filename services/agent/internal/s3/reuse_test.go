package s3

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// PUTs one after the other share a connection: a new one costs two or three
// round trips, and a TLS handshake on both sides.
func TestConnectionsAreReused(t *testing.T) {
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	store, err := Open(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}, Options{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 100<<10)
	for i := range 300 {
		body := objstore.Body{Parts: [][]byte{part, part[:i]}, Size: int64(len(part) + i)}
		if err := store.Put(t.Context(), "k/"+strconv.Itoa(i), body); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n > 3 {
		t.Errorf("300 PUTs took %d connections", n)
	}
}
