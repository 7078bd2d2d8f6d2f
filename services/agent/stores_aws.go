package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"github.com/streamhouse/streamhouse/services/agent/cost"
	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/s3"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// checkTimeout bounds the look at the stores before an agent starts. What is
// misconfigured is known at once; what is down is tried for a while.
const checkTimeout = 30 * time.Second

// strayAge is how old a multipart upload is at least that nobody completes any
// more. The agent itself starts none.
const strayAge = 24 * time.Hour

// openAWS opens stores that many agents share. Whether an agent lives is found
// out by watching it (R8), so nothing is exclusive.
func openAWS(cfg AWSConfig, counts *stats.Stats, log *slog.Logger) (*stores, error) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	opened, objects, err := openCheckedAWS(ctx, cfg, counts, log)
	if err != nil {
		return nil, err
	}
	if n, err := objects.AbortUploads(ctx, strayAge); err != nil {
		log.Warn("stray multipart uploads cannot be removed: a lifecycle rule of the bucket can do it as well", slog.Any("error", err))
	} else if n > 0 {
		log.Info("stray multipart uploads removed", slog.Int("uploads", n))
	}
	return opened, nil
}

// openCheckedAWS changes nothing.
func openCheckedAWS(ctx context.Context, cfg AWSConfig, counts *stats.Stats, log *slog.Logger) (*stores, *s3.Store, error) {
	objects, rows, err := dialAWS(ctx, cfg, counts, log)
	if err != nil {
		return nil, nil, err
	}
	opened := &stores{objects: objects, rows: rows, unlock: func() error { return nil }}
	if err := checkAWS(ctx, objects, rows); err != nil {
		return nil, nil, errors.Join(err, opened.close())
	}
	return opened, objects, nil
}

// dialAWS makes the stores, without a request.
func dialAWS(ctx context.Context, cfg AWSConfig, counts *stats.Stats, log *slog.Logger) (*s3.Store, *dynamo.Store, error) {
	settings, err := loadAWS(ctx, cfg, log)
	if err != nil {
		return nil, nil, err
	}
	objects, err := s3.Open(settings, s3.Options{
		Bucket: cfg.Bucket, Prefix: cfg.BucketPrefix, Observe: countS3(counts), Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	rows, err := dynamo.Open(settings, dynamo.Options{TablePrefix: cfg.TablePrefix, Observe: countRows(counts)})
	if err != nil {
		return nil, nil, errors.Join(err, objects.Close())
	}
	return objects, rows, nil
}

// An agent that starts on a bad network checks its stores again, after a pause, when
// some of its requests had no answer although they were tried again each.
const (
	checkTries = 3
	checkPause = time.Second
)

// checkAWS finds out whether the stores can be used.
func checkAWS(ctx context.Context, objects *s3.Store, rows *dynamo.Store) error {
	for try := 1; ; try++ {
		err := checkAWSOnce(ctx, objects, rows)
		if err == nil || try == checkTries || refused(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(checkPause):
		}
	}
}

// refused says that AWS answered, and would answer the same again.
func refused(err error) bool {
	var answer interface {
		error
		HTTPStatusCode() int
	}
	return errors.As(err, &answer) && answer.HTTPStatusCode()/100 == 4
}

// checkAWSOnce tells everything that is wrong at once: who has to mend it would
// rather not start again for each.
func checkAWSOnce(ctx context.Context, objects *s3.Store, rows *dynamo.Store) error {
	checked := make(chan error, 1)
	go func() { checked <- rows.Check(ctx) }() // waited for below
	err := objects.Check(ctx)
	if err != nil {
		err = fmt.Errorf("check the object store: %w", err)
	}
	return errors.Join(err, <-checked)
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

// countRows counts requests, and the units that DynamoDB bills for them.
func countRows(counts *stats.Stats) func(dynamo.Request) {
	return func(r dynamo.Request) {
		switch r.Operation {
		case "PutItem", "DeleteItem":
			counts.RowWrites.Add(1)
		default:
			counts.RowReads.Add(1)
		}
		counts.ReadUnits.Add(r.ReadUnits)
		counts.WriteUnits.Add(r.WriteUnits)
		if r.Throttled {
			counts.Throttled.Add(1)
		}
	}
}

// Prices are those of the store's requests; where it is not on AWS, what they
// would cost there.
func (c StoreConfig) Prices() cost.Prices {
	if c.Kind == StoreAWS && s3.Directory(c.AWS.Bucket) {
		return cost.Express
	}
	return cost.Standard
}

// loadAWS reads AWS's own settings: the environment, the shared configuration
// files, the task's role.
func loadAWS(ctx context.Context, cfg AWSConfig, log *slog.Logger) (aws.Config, error) {
	// What the SDK warns of is in the errors as well, or mended by a retry.
	said := logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) {
		log.Debug("from AWS's SDK", slog.String("text", fmt.Sprintf(format, v...)))
	})
	opts := []func(*config.LoadOptions) error{config.WithLogger(said)}
	if cfg.EndpointURL != "" {
		opts = append(opts, config.WithBaseEndpoint(cfg.EndpointURL))
	}
	settings, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load AWS's settings: %w", err)
	}
	return settings, nil
}
