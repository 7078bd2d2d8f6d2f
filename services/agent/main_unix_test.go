//go:build unix

package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// The whole of it, with nothing put in place of anything: settings of all
// three sources, a TLS listener on a port that the system chose, a client that
// finds it, and a real signal.
func TestMainFromStartToSignal(t *testing.T) {
	limit := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(limit)
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	cert, key := encode(t, web.TLS.Certificates[0])
	t.Setenv("STREAMHOUSE_TLS_CERT_PEM", cert)
	t.Setenv("STREAMHOUSE_TLS_KEY_PEM", key)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("agent.yaml", []byte("store: memory\nready-file: ready.json\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	var stdout, stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- Main(context.Background(), []string{"--config=agent.yaml", "--listen=127.0.0.1:0"}, &stdout, &stderr)
	}()
	address := awaitReady(t, "ready.json", code)
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	health, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(),
		&grpc_health_v1.HealthCheckRequest{Service: "streamhouse.v1.ProducerService"})
	if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health is %v, %v", health, err)
	}

	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != 0 || stdout.Len() > 0 {
		t.Errorf("exit code %d, stdout %q, stderr:\n%s", got, &stdout, &stderr)
	}
	if left, _ := filepath.Glob("*ready*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// awaitReady returns the address of the listener "internal".
func awaitReady(t *testing.T, name string, code <-chan int) string {
	t.Helper()
	for {
		var ready struct{ Addresses map[string]string }
		if b, err := os.ReadFile(name); err == nil {
			if err := json.Unmarshal(b, &ready); err != nil {
				t.Fatal(err)
			}
			return ready.Addresses["internal"]
		}
		select {
		case got := <-code:
			t.Fatalf("exit code %d before it served", got)
		case <-time.After(time.Millisecond): // another process has nothing else to wait for
		}
	}
}

func encode(t *testing.T, pair tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
