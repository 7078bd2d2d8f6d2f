package agent

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/cost"
	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/s3"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// alone keeps what this machine knows of AWS out of a test.
func alone(t *testing.T) {
	t.Helper()
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_PROFILE": "", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
}

// openOnAWS starts an agent that must refuse to start.
func openOnAWS(t *testing.T, a AWSConfig) error {
	t.Helper()
	a.Bucket = "bucket"
	agent, err := New(Config{Name: "a", Listeners: []Listener{{Name: "internal", Address: "127.0.0.1:0"}}, Store: StoreConfig{Kind: StoreAWS, AWS: a}})
	if err == nil {
		_ = agent.Close()
		t.Fatal("the agent starts")
	}
	return err
}

// An agent without its bucket does not start, and says what is wrong.
func TestOpenAWSRefuses(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}`))
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`<Error><Code>NoSuchBucket</Code></Error>`))
	}))
	t.Cleanup(web.Close)
	for name, c := range map[string]struct {
		env      [2]string
		endpoint string
		want     string
	}{
		"no bucket":               {[2]string{"AWS_PROFILE", ""}, web.URL, "there is no bucket \"bucket\" in region us-east-1"},
		"endpoint of AWS's own":   {[2]string{"AWS_ENDPOINT_URL", web.URL}, "", "there is no bucket"},
		"endpoints of each":       {[2]string{"AWS_ENDPOINT_URL_S3", web.URL}, "", "there is no bucket"},
		"no tables":               {[2]string{"AWS_PROFILE", ""}, web.URL, "there is no table \"streamhouse-journal\" in us-east-1"},
		"no region":               {[2]string{"AWS_REGION", ""}, web.URL, "set AWS_REGION"},
		"no such profile":         {[2]string{"AWS_PROFILE", "nobody"}, web.URL, "load AWS's settings"},
		"no certificates in file": {[2]string{"AWS_CA_BUNDLE", "/none"}, web.URL, "load AWS's settings"},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			t.Setenv("AWS_DEFAULT_REGION", "")
			t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", web.URL)
			t.Setenv(c.env[0], c.env[1])
			if err := openOnAWS(t, AWSConfig{EndpointURL: c.endpoint}); !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %q in it", err, c.want)
			}
		})
	}
}

// What is asked about a store that nobody serves has an answer in time.
func TestCheckStoreWithoutServer(t *testing.T) {
	alone(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = CheckStore(ctx, AWSConfig{Bucket: "bucket", EndpointURL: "http://" + l.Addr().String()})
	for _, want := range []string{"S3 does not answer", "check the DynamoDB tables"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %q in it", err, want)
		}
	}
	if err := CreateStore(ctx, AWSConfig{}); err == nil || !strings.Contains(err.Error(), "--store-bucket") {
		t.Errorf("without a bucket: %v", err)
	}
}

// A directory bucket's requests have other prices.
func TestPrices(t *testing.T) {
	t.Parallel()
	for bucket, want := range map[string]cost.Prices{"log": cost.Standard, "log--use1-az4--x-s3": cost.Express} {
		if got := (StoreConfig{Kind: StoreAWS, AWS: AWSConfig{Bucket: bucket}}).Prices(); got != want {
			t.Errorf("%s: %+v", bucket, got)
		}
	}
}

func TestCountRows(t *testing.T) {
	t.Parallel()
	var counts stats.Stats
	count := countRows(&counts)
	count(dynamo.Request{Operation: "PutItem", WriteUnits: 4})
	count(dynamo.Request{Operation: "DeleteItem", WriteUnits: 1, Refused: true})
	count(dynamo.Request{Operation: "PutItem", Throttled: true})
	for _, operation := range []string{"GetItem", "Query", "Scan"} {
		count(dynamo.Request{Operation: operation, ReadUnits: 1.5})
	}
	if got := counts.Requests(); got["write"] != 3 || got["read"] != 3 {
		t.Errorf("counted %v", got)
	}
	if r, w, n := counts.ReadUnits.Load(), counts.WriteUnits.Load(), counts.Throttled.Load(); r != 4.5 || w != 5 || n != 1 {
		t.Errorf("%v read and %v write units, %d throttled", r, w, n)
	}
}

func TestCountS3(t *testing.T) {
	t.Parallel()
	var counts stats.Stats
	count := countS3(&counts)
	for _, operation := range []string{
		"PutObject", "PutObject", "GetObject", "HeadObject", "HeadObject", "DeleteObject", "DeleteObjects",
		"AbortMultipartUpload", "AbortMultipartUpload", "ListObjectsV2", "CreateSession",
	} {
		count(s3.Request{Operation: operation, Throttled: operation == "GetObject"})
	}
	got := counts.Requests()
	for kind, want := range map[string]uint64{"put": 2, "get": 3, "delete": 4, "list": 1} {
		if got[kind] != want {
			t.Errorf("%d requests of kind %s were counted, want %d", got[kind], kind, want)
		}
	}
	if n := counts.Throttled.Load(); n != 1 {
		t.Errorf("%d were throttled, want 1", n)
	}
}
