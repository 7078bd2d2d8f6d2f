package s3_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/s3"
)

// A bucket can be made twice, and then be used.
func TestCreateBucket(t *testing.T) {
	t.Parallel()
	s := open(t, plain(), s3.Options{Bucket: "made-here"})
	for range 2 {
		if err := s.CreateBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// What S3 is told of where the bucket shall be.
func TestCreateBucketWhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		region, bucket string
		answer         string
		sent           string
		refused        string
	}{
		"first region":  {region: "us-east-1", bucket: "b"},
		"another":       {region: "eu-west-1", bucket: "b", sent: "<LocationConstraint>eu-west-1</LocationConstraint>"},
		"directory":     {region: "us-east-1", bucket: "b--use1-az4--x-s3", sent: "<Name>use1-az4</Name><Type>AvailabilityZone</Type>"},
		"without zone":  {region: "us-east-1", bucket: "b--x-s3", refused: "does not tell its zone"},
		"somebody's":    {region: "us-east-1", bucket: "b", answer: "BucketAlreadyExists", refused: "taken by another account"},
		"one's own":     {region: "us-east-1", bucket: "b", answer: "BucketAlreadyOwnedByYou"},
		"no permission": {region: "us-east-1", bucket: "b", answer: "AccessDenied", refused: "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent string
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				sent = string(b)
				if c.answer != "" {
					w.WriteHeader(http.StatusConflict)
					_, _ = io.WriteString(w, "<Error><Code>"+c.answer+"</Code></Error>")
				}
			}))
			defer web.Close()
			cfg := config(web.URL)
			cfg.Region = c.region
			err := open(t, cfg, s3.Options{Bucket: c.bucket}).CreateBucket(t.Context())
			if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("got %v, want %q", err, c.refused)
			}
			if !strings.Contains(sent, c.sent) || c.sent == "" && sent != "" {
				t.Errorf("sent %q, want %q", sent, c.sent)
			}
		})
	}
}
