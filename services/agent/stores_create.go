package agent

import (
	"context"
	"errors"
	"log/slog"

	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/s3"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

// CreateStore makes the bucket and the tables of StoreAWS that are missing, and
// checks them. What is there is left as it is. It is for trials and tests; the
// Terraform modules also protect what they make.
func CreateStore(ctx context.Context, cfg AWSConfig) error {
	return withAWS(ctx, cfg, func(objects *s3.Store, rows *dynamo.Store) error {
		err := errors.Join(objects.CreateBucket(ctx), rows.CreateTables(ctx, dynamo.TableOptions{}))
		if err != nil {
			return err
		}
		return checkAWS(ctx, objects, rows)
	})
}

// CheckStore tells whether an agent could use a StoreAWS, with the credentials
// of this process, and what is wrong if not. It changes nothing but for a small
// object that it writes and deletes.
func CheckStore(ctx context.Context, cfg AWSConfig) error {
	return withAWS(ctx, cfg, func(objects *s3.Store, rows *dynamo.Store) error { return checkAWS(ctx, objects, rows) })
}

func withAWS(ctx context.Context, cfg AWSConfig, use func(*s3.Store, *dynamo.Store) error) error {
	cfg = Config{Store: StoreConfig{AWS: cfg}}.WithDefaults().Store.AWS
	var r rules
	r.aws(StoreConfig{Kind: StoreAWS, AWS: cfg})
	if err := errors.Join(r...); err != nil {
		return err
	}
	objects, rows, err := dialAWS(ctx, cfg, &stats.Stats{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(use(objects, rows), objects.Close(), rows.Close())
}
