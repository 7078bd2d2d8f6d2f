package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Prometheus is answered where it was asked for, as long as the agent runs.
func TestHTTPListen(t *testing.T) {
	cfg := Config{HTTPListen: "127.0.0.1:0", Listeners: []Listener{{Name: "internal", Address: "127.0.0.1:0"}}}
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
	if body, err := get(t, "http://"+a.observed.listener.Addr().String()+"/healthz"); err != nil || body != "alive\n" {
		t.Errorf("answered %q, %v", body, err)
	}
	port := a.observed.listener.Addr().String()
	if code, said := health(t, "0.0.0.0"+port[strings.LastIndexByte(port, ':'):]); code != exitClean || said != "" {
		t.Errorf("health ended with %d and said %q", code, said)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := get(t, url); err == nil {
		t.Error("an agent that ended still answers")
	}
}

// health runs the command of that name as it would in the agent's container.
func health(t *testing.T, listen string) (code int, said string) {
	t.Helper()
	var stderr bytes.Buffer
	p := process{stdout: io.Discard, stderr: &stderr, environ: []string{"STREAMHOUSE_HTTP_LISTEN=" + listen}}
	return p.main(t.Context(), []string{"health"}), stderr.String()
}

// Whoever asks after an agent that does not answer hears what to do.
func TestHealthFails(t *testing.T) {
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := silent.Close(); err != nil {
		t.Fatal(err)
	}
	for listen, want := range map[string]string{"": "--http-listen", silent.Addr().String(): "refused"} {
		if code, said := health(t, listen); code != exitError || !strings.Contains(said, want) {
			t.Errorf("%q: ended with %d and said %q", listen, code, said)
		}
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
