package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The server says where it listens, answers for its health on both addresses,
// and ends with its context.
func TestRun(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	dir := t.TempDir()
	go func() {
		ended <- run(ctx, options{listen: "127.0.0.1:0", listenTLS: "127.0.0.1:0", dir: dir, dropAbove: 1 << 20}, in)
		in.Close()
	}()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var at ready
	if err != nil || json.Unmarshal(line, &at) != nil {
		t.Fatalf("it said %q, %v: %v", line, err, <-ended)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(at.Certificate))
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	for _, endpoint := range []string{at.Endpoint, at.TLSEndpoint} {
		answer, err := client.Get(endpoint + "/_localstack/health")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), `"s3":"running"`) {
			t.Errorf("%s says %s %q, %v", endpoint, answer.Status, body, err)
		}
	}
	client.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
