package s3

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const directoryBucket = "log--use1-az4--x-s3"

// directoryServer answers as a directory bucket does where that differs: it
// wants a session, lists prefixes that end in a slash only, and in any order.
func directoryServer(t *testing.T, sessions *atomic.Int64) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		switch {
		case query.Has("session"):
			sessions.Add(1)
			_, _ = fmt.Fprint(w, `<CreateSessionResult><Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>s</SecretAccessKey>`+
				`<SessionToken>the session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></CreateSessionResult>`)
		case r.Header.Get("X-Amz-S3session-Token") != "the session":
			refuse(w, http.StatusForbidden, "AccessDenied")
		case query.Get("list-type") == "2":
			if prefix := query.Get("prefix"); prefix != "" && !strings.HasSuffix(prefix, "/") {
				refuse(w, http.StatusBadRequest, "InvalidArgument")
				return
			}
			_, _ = fmt.Fprint(w, `<ListBucketResult><IsTruncated>false</IsTruncated>`+
				`<Contents><Key>p/s/2-b</Key><Size>2</Size></Contents><Contents><Key>p/s/1-a</Key><Size>1</Size></Contents>`+
				`<Contents><Key>p/s/2-a</Key><Size>3</Size></Contents></ListBucketResult>`)
		}
	}
}

func TestDirectoryBucket(t *testing.T) {
	t.Parallel()
	var sessions atomic.Int64
	web := httptest.NewServer(directoryServer(t, &sessions))
	t.Cleanup(web.Close)
	s, seen := openFake(t, aws.Config{BaseEndpoint: &web.URL}, directoryBucket)
	s.prefix = "p/"
	for prefix, want := range map[string]string{"": "s/2-b s/1-a s/2-a", "s/": "s/2-b s/1-a s/2-a", "s/2": "s/2-b s/2-a", "t": ""} {
		var got []string
		for info, err := range s.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, info.Key)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("list %q: got %v, want %s", prefix, got, want)
		}
	}
	if err := s.Put(t.Context(), "k", body()); err != nil {
		t.Error(err)
	}
	if n := sessions.Load(); n != 1 {
		t.Errorf("%d sessions were made, want 1", n)
	}
	counts := map[string]int{}
	for _, r := range *seen {
		counts[r.Operation]++
	}
	if fmt.Sprint(counts) != "map[CreateSession:1 ListObjectsV2:4 PutObject:1]" {
		t.Errorf("observed %v", counts)
	}
}

// Whoever switches one zone on is told what that means.
func TestDirectoryBucketWarns(t *testing.T) {
	t.Parallel()
	for bucket, want := range map[string]bool{directoryBucket: true, "log": false, "x-s3": false} {
		var out bytes.Buffer
		if _, err := Open(aws.Config{Region: "us-east-1"}, Options{Bucket: bucket, Logger: slog.New(slog.NewTextHandler(&out, nil))}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "acknowledged records are lost"); got != want {
			t.Errorf("%s: logged %q", bucket, out.String())
		}
	}
}
