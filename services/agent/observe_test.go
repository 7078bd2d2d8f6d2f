package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Prometheus is answered where it was asked for, as long as the agent runs.
func TestMetricsListen(t *testing.T) {
	cfg := Config{Metrics: MetricsConfig{Listen: "127.0.0.1:0"}, Listeners: []Listener{{Name: "internal", Address: "127.0.0.1:0"}}}
	a, err := New(cfg, WithMemory(NewMemory()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-a.Ready()
	url := "http://" + a.observed.listener.Addr().String() + "/metrics"
	body, err := get(t, url)
	if err != nil || !strings.Contains(body, "streamhouse_leases 0\n") {
		t.Errorf("answered %q, %v", body, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := get(t, url); err == nil {
		t.Error("an agent that ended still answers")
	}
}

func get(t *testing.T, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	return string(b), errors.Join(err, resp.Body.Close())
}
