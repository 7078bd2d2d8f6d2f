package s3_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore/objstoretest"
	"github.com/streamhouse/streamhouse/services/agent/internal/s3"
	"github.com/streamhouse/streamhouse/services/agent/internal/standin"
)

var server *standin.Server

func TestMain(m *testing.M) {
	if scheme := os.Getenv(envSink); scheme != "" {
		os.Exit(serveSink(scheme)) //nolint:forbidigo // as TestMain has to
	}
	os.Exit(standin.Run(func(s *standin.Server) int { //nolint:forbidigo // as TestMain has to
		server = s
		return m.Run()
	}))
}

// plain and secure are how a client finds the stand-in; over TLS is how S3 is
// spoken to.
func plain() aws.Config { return config(server.Endpoint) }

func secure(t *testing.T) aws.Config {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(server.Certificate)) {
		t.Fatal("the stand-in has no certificate")
	}
	cfg := config(server.TLSEndpoint)
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	})
	return cfg
}

func config(endpoint string) aws.Config {
	return aws.Config{
		Region: standin.Region, BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(standin.AccessKey, standin.SecretKey, ""),
	}
}

var buckets atomic.Int64

// newBucket makes a bucket of its own for a test.
func newBucket(t *testing.T, cfg aws.Config) string {
	t.Helper()
	name := fmt.Sprintf("test-%d", buckets.Add(1))
	client := sdk.NewFromConfig(cfg, func(o *sdk.Options) { o.UsePathStyle = true })
	if _, err := client.CreateBucket(t.Context(), &sdk.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return name
}

func open(tb testing.TB, cfg aws.Config, opts s3.Options) *s3.Store {
	tb.Helper()
	s, err := s3.Open(cfg, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg    aws.Config
		prefix string
	}{
		"HTTP":       {plain(), ""},
		"TLS,prefix": {secure(t), "a/prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objstoretest.Run(t, func(t *testing.T) objstore.Store {
				t.Helper()
				return open(t, c.cfg, s3.Options{Bucket: newBucket(t, c.cfg), Prefix: c.prefix})
			})
		})
	}
}
