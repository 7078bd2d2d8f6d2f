// Package s3 keeps objects in an S3 bucket: the object store of an
// installation on AWS. A directory bucket (S3 Express One Zone), whose name
// ends in --x-s3, works as well.
//
// The SDK signs requests and finds credentials, region and endpoint. Retries
// and timeouts are the package's own: see retry.go.
package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Options say where the objects are.
type Options struct {
	// Bucket is the name of the bucket.
	Bucket string
	// Prefix stands before every key, with a slash between them. Empty, the
	// store has the bucket for itself.
	Prefix string
	// Observe, if set, is called after every request that was sent, each retry
	// included, from many goroutines at once. It must not block.
	Observe func(Request)
	// Logger may be nil.
	Logger *slog.Logger
}

// Store is an objstore.Store. It is safe for concurrent use, by any number of
// processes.
type Store struct {
	client *sdk.Client
	bucket string
	prefix string // "", or ends in a slash
	region string

	puts, gets, lists, deletes *policy
}

// Open makes a store of a bucket, without a request: Check sends the first
// ones. cfg comes from config.LoadDefaultConfig.
func Open(cfg aws.Config, opts Options) (*Store, error) {
	if opts.Bucket == "" {
		return nil, errors.New("open the object store in S3: there is no bucket name")
	}
	if cfg.Region == "" {
		return nil, errors.New("open the object store in S3: there is no region: set AWS_REGION to that of the bucket")
	}
	s := &Store{
		bucket: opts.Bucket, region: cfg.Region,
		puts: newPolicy(putLimits), gets: newPolicy(getLimits), lists: newPolicy(listLimits), deletes: newPolicy(deleteLimits),
	}
	if prefix := strings.Trim(opts.Prefix, "/"); prefix != "" {
		s.prefix = prefix + "/"
	}
	s.client = sdk.NewFromConfig(cfg, func(o *sdk.Options) {
		o.HTTPClient = client(cfg.HTTPClient)
		o.Retryer = aws.NopRetryer{}
		// What needs no checksum gets none: a segment brings its own, and its
		// readers check every batch.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		// To wait for "100 Continue" before a body costs a round trip per PUT.
		o.ContinueHeaderThresholdBytes = -1
		// Another endpoint than Amazon's has no host name per bucket.
		o.UsePathStyle = o.BaseEndpoint != nil
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
		if opts.Observe != nil {
			o.APIOptions = append(o.APIOptions, observe(opts.Observe))
		}
	})
	if s.directory() && opts.Logger != nil {
		opts.Logger.Warn("the bucket is in one availability zone: should AWS lose that zone, acknowledged records are lost",
			slog.String("bucket", s.bucket))
	}
	return s, nil
}

// directory says whether the bucket is a directory bucket.
func (s *Store) directory() bool { return Directory(s.bucket) }

// Directory says whether a bucket of this name is a directory bucket: S3
// Express One Zone, with other prices.
func Directory(bucket string) bool { return strings.HasSuffix(bucket, directorySuffix) }

const directorySuffix = "--x-s3"

// client is the SDK's own HTTP client, which honours the settings of the
// default chain, tuned for many large bodies to one host.
func client(configured aws.HTTPClient) aws.HTTPClient {
	base, ok := configured.(*awshttp.BuildableClient)
	if !ok {
		if configured != nil {
			return configured
		}
		base = awshttp.NewBuildableClient()
	}
	return base.WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = 0 // the limit per host is enough
		t.MaxIdleConnsPerHost = maxIdleConns
		t.TLSHandshakeTimeout = connectTimeout
		// S3 has no HTTP/2, and its one connection would be a bottleneck.
		t.ForceAttemptHTTP2 = false
		t.DisableCompression = true
	}).Freeze()
}

const (
	// maxIdleConns is above what flushes and readers keep busy at a time.
	maxIdleConns   = 128
	connectTimeout = 5 * time.Second
)

// Close implements objstore.Store.
func (s *Store) Close() error { return nil }

// name is what S3 calls an object.
func (s *Store) name(key string) *string { return aws.String(s.prefix + key) }

// fail wraps an error of one operation, in terms of keys.
func fail(ctx context.Context, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
