package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/streamhouse/streamhouse/services/agent/internal/s3"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// checkTimeout bounds the look at the stores before an agent starts. What is
// misconfigured is known at once; what is down is tried for a while.
const checkTimeout = 30 * time.Second

// strayAge is how old a multipart upload is at least that nobody completes any
// more. The agent itself starts none.
const strayAge = 24 * time.Hour

// openAWS opens stores that many agents share.
func openAWS(cfg AWSConfig, counts *stats.Stats, log *slog.Logger) (*stores, error) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	settings, err := loadAWS(ctx, cfg)
	if err != nil {
		return nil, err
	}
	objects, err := s3.Open(settings, s3.Options{
		Bucket: cfg.Bucket, Prefix: cfg.BucketPrefix, Observe: countS3(counts), Logger: log,
	})
	if err != nil {
		return nil, err
	}
	if err := objects.Check(ctx); err != nil {
		return nil, fmt.Errorf("check the object store: %w", err)
	}
	if n, err := objects.AbortUploads(ctx, strayAge); err != nil {
		log.Warn("stray multipart uploads cannot be removed: a lifecycle rule of the bucket can do it as well", slog.Any("error", err))
	} else if n > 0 {
		log.Info("stray multipart uploads removed", slog.Int("uploads", n))
	}
	return nil, errors.Join(
		fmt.Errorf("--store aws: the bucket %q can be used, but this version of the agent does not keep rows in DynamoDB yet: use --store files", cfg.Bucket),
		objects.Close())
}

// countS3 counts requests by what S3 bills: PUT and LIST cost the same, GET a
// twelfth, and DELETE nothing. HEAD is billed as GET.
func countS3(counts *stats.Stats) func(s3.Request) {
	return func(r s3.Request) {
		switch r.Operation {
		case "PutObject":
			counts.Puts.Add(1)
		case "GetObject", "HeadObject":
			counts.Gets.Add(1)
		case "DeleteObject", "DeleteObjects", "AbortMultipartUpload":
			counts.Deletes.Add(1)
		case "ListObjectsV2", "ListMultipartUploads":
			counts.Lists.Add(1)
		}
		if r.Throttled {
			counts.Throttled.Add(1)
		}
	}
}

// loadAWS reads AWS's own settings: the environment, the shared configuration
// files, the task's role.
func loadAWS(ctx context.Context, cfg AWSConfig) (aws.Config, error) {
	var opts []func(*config.LoadOptions) error
	if cfg.EndpointURL != "" {
		opts = append(opts, config.WithBaseEndpoint(cfg.EndpointURL))
	}
	settings, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load AWS's settings: %w", err)
	}
	return settings, nil
}
