package agent

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

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
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`<Error><Code>NoSuchBucket</Code></Error>`))
	}))
	t.Cleanup(web.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for name, c := range map[string]struct {
		env      [2]string
		endpoint string
		want     string
	}{
		"no bucket":               {[2]string{"AWS_PROFILE", ""}, web.URL, "there is no bucket \"bucket\" in region us-east-1"},
		"endpoint of AWS's own":   {[2]string{"AWS_ENDPOINT_URL", web.URL}, "", "there is no bucket"},
		"endpoint of S3 alone":    {[2]string{"AWS_ENDPOINT_URL_S3", web.URL}, "", "there is no bucket"},
		"no server":               {[2]string{"AWS_PROFILE", ""}, "http://" + l.Addr().String(), "S3 does not answer"},
		"no region":               {[2]string{"AWS_REGION", ""}, web.URL, "set AWS_REGION"},
		"no such profile":         {[2]string{"AWS_PROFILE", "nobody"}, web.URL, "load AWS's settings"},
		"no certificates in file": {[2]string{"AWS_CA_BUNDLE", "/none"}, web.URL, "load AWS's settings"},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			t.Setenv("AWS_DEFAULT_REGION", "")
			t.Setenv(c.env[0], c.env[1])
			if err := openOnAWS(t, AWSConfig{EndpointURL: c.endpoint}); !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %q in it", err, c.want)
			}
		})
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
