package s3_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
	"github.com/streamhouse/streamhouse/services/agent/internal/s3"
)

// Against the stand-in: the check passes, leaves nothing, and knows a missing
// bucket and wrong credentials.
func TestCheck(t *testing.T) {
	t.Parallel()
	cfg := secure(t)
	bucket := newBucket(t, cfg)
	s := open(t, cfg, s3.Options{Bucket: bucket, Prefix: "p"})
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for info, err := range open(t, cfg, s3.Options{Bucket: bucket}).List(t.Context(), "") {
		t.Errorf("the check left %+v, %v", info, err)
	}
	wantSentence(t, open(t, cfg, s3.Options{Bucket: "nowhere"}), `there is no bucket "nowhere"`, "Terraform's output `bucket`", "--store-bucket")
	cfg.Credentials = credentials.NewStaticCredentialsProvider("test", "wrong", "")
	wantSentence(t, open(t, cfg, s3.Options{Bucket: bucket}), "does not know these credentials")
}

// A probe that a check could not delete is no object of the log.
func TestProbesAreHidden(t *testing.T) {
	t.Parallel()
	s := open(t, plain(), s3.Options{Bucket: newBucket(t, plain())})
	for _, key := range []string{".probe-0123", "k"} {
		if err := s.Put(t.Context(), key, objstoretest.Body()); err != nil {
			t.Fatal(err)
		}
	}
	for info, err := range s.List(t.Context(), "") {
		if err != nil || info.Key != "k" {
			t.Errorf("listed %+v, %v", info, err)
		}
	}
}

func wantSentence(t *testing.T, s *s3.Store, wants ...string) {
	t.Helper()
	err := s.Check(t.Context())
	if err == nil {
		t.Fatal("the check passes")
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// What the stand-in never answers: each permission that is missing is named.
func TestCheckNamesPermissions(t *testing.T) {
	t.Parallel()
	const denied = `<Error><Code>AccessDenied</Code><Message>no identity-based policy allows it</Message></Error>`
	const empty = `<ListBucketResult></ListBucketResult>`
	for name, c := range map[string]struct {
		deny  func(r *http.Request) bool
		wants []string
	}{
		"list":   {func(r *http.Request) bool { return r.URL.Query().Has("list-type") }, []string{"s3:ListBucket on arn:aws:s3:::bucket: ", "`task_role`"}},
		"put":    {func(r *http.Request) bool { return r.Method == http.MethodPut }, []string{"s3:PutObject on arn:aws:s3:::bucket/p/*: ", "kms:GenerateDataKey"}},
		"get":    {func(r *http.Request) bool { return r.Method == http.MethodGet && !r.URL.Query().Has("list-type") }, []string{"s3:GetObject on arn:aws:s3:::bucket/p/*: "}},
		"delete": {func(r *http.Request) bool { return r.Method == http.MethodDelete }, []string{"s3:DeleteObject on arn:aws:s3:::bucket/p/*: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case c.deny(r):
					w.WriteHeader(http.StatusForbidden)
					_, _ = w.Write([]byte(denied))
				case r.URL.Query().Has("list-type"):
					_, _ = w.Write([]byte(empty))
				}
			}))
			t.Cleanup(web.Close)
			wantSentence(t, open(t, config(web.URL), s3.Options{Bucket: "bucket", Prefix: "/p/"}), c.wants...)
		})
	}
}

func TestCheckElsewhere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	l.Close()
	wantSentence(t, open(t, config(nobody), s3.Options{Bucket: "bucket"}), "S3 does not answer", "AWS_ENDPOINT_URL")

	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusMovedPermanently)
		_, _ = w.Write([]byte(`<Error><Code>PermanentRedirect</Code></Error>`))
	}))
	t.Cleanup(web.Close)
	wantSentence(t, open(t, config(web.URL), s3.Options{Bucket: "bucket"}), "not in region us-east-1", "AWS_REGION")
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for want, open := range map[string]func() (*s3.Store, error){
		"no bucket name": func() (*s3.Store, error) { return s3.Open(plain(), s3.Options{}) },
		"AWS_REGION":     func() (*s3.Store, error) { return s3.Open(aws.Config{}, s3.Options{Bucket: "b"}) },
	} {
		if _, err := open(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// Multipart uploads that another tool left are aborted, but only where the log
// is, and no fresh ones.
func TestAbortUploads(t *testing.T) {
	t.Parallel()
	cfg := plain()
	bucket := newBucket(t, cfg)
	client := sdk.NewFromConfig(cfg, func(o *sdk.Options) { o.UsePathStyle = true })
	for _, name := range []string{"p/a", "p/a/b", "other/c"} {
		if _, err := client.CreateMultipartUpload(t.Context(), &sdk.CreateMultipartUploadInput{Bucket: &bucket, Key: &name}); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, cfg, s3.Options{Bucket: bucket, Prefix: "p"})
	for _, step := range []struct {
		age  time.Duration
		want int
	}{{time.Hour, 0}, {0, 2}, {0, 0}} {
		if n, err := s.AbortUploads(t.Context(), step.age); err != nil || n != step.want {
			t.Errorf("aborted %d, %v, want %d", n, err, step.want)
		}
	}
	left, err := client.ListMultipartUploads(t.Context(), &sdk.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range left.Uploads {
		names = append(names, *u.Key)
	}
	if !slices.Equal(names, []string{"other/c"}) {
		t.Errorf("left are %v", names)
	}
}
