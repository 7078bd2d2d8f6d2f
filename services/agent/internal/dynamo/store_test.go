package dynamo_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta/metatest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	metatest.Run(t, func(t *testing.T) meta.Store {
		t.Helper()
		return newWorld(t).store(t)
	})
}

// Over TLS the store makes its own client of the one that AWS's settings give,
// with their certificates.
func TestStoreTLS(t *testing.T) {
	t.Parallel()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(server.Certificate)) {
		t.Fatal("the stand-in has no certificate")
	}
	cfg := config(server.TLSEndpoint)
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	})
	metatest.Run(t, func(t *testing.T) meta.Store {
		t.Helper()
		return open(t, cfg, dynamo.Options{TablePrefix: newWorld(t).name})
	})
}

// Every write has a condition and every read is consistent. An operation is
// one request.
func TestRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var sent []string
	s := w.open(t, front(t, func(operation string, body []byte) func() {
		_, operation, _ = strings.Cut(operation, ".")
		sent = append(sent, operation)
		want := `"ConsistentRead":true`
		if operation == "PutItem" || operation == "DeleteItem" {
			want = `"ConditionExpression":`
		}
		if !strings.Contains(string(body), want) {
			t.Errorf("%s without %s: %s", operation, want, body)
		}
		return nil
	}))
	row := &meta.Entry{Session: "s", Seq: 1}
	mustCreate(t, s, row)
	for _, err := range []error{s.Swap(t.Context(), row), s.Get(t.Context(), row), s.Delete(t.Context(), row)} {
		if err != nil {
			t.Error(err)
		}
	}
	count(t, meta.Query[*meta.Entry](t.Context(), s, "s", 0))
	count(t, meta.Scan[*meta.Entry](t.Context(), s))
	if want := []string{"PutItem", "PutItem", "GetItem", "DeleteItem", "Query", "Scan"}; !reflect.DeepEqual(sent, want) {
		t.Errorf("sent %v, want %v", sent, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for says, open := range map[string]func() (*dynamo.Store, error){
		"table prefix": func() (*dynamo.Store, error) { return dynamo.Open(aws.Config{Region: "r"}, dynamo.Options{}) },
		"AWS_REGION": func() (*dynamo.Store, error) {
			return dynamo.Open(aws.Config{}, dynamo.Options{TablePrefix: "p"})
		},
	} {
		if _, err := open(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want a refusal that says %q", err, says)
		}
	}
}
