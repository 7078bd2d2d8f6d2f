package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"

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

// TrialStore makes a StoreAWS that nobody else uses, in the bucket of cfg: with
// tables and a prefix of its own, whose names follow those of cfg. A trial in
// the tables of a cluster would be one of its agents. Remove deletes all of it.
func TrialStore(ctx context.Context, cfg AWSConfig) (trial AWSConfig, remove func(context.Context) error, err error) {
	trial = Config{Store: StoreConfig{AWS: cfg}}.WithDefaults().Store.AWS
	name := fmt.Sprintf("trial-%08x", rand.Uint32())
	trial.BucketPrefix = strings.TrimPrefix(strings.TrimSuffix(trial.BucketPrefix, "/")+"/"+name, "/")
	trial.TablePrefix += "-" + name
	remove = func(ctx context.Context) error { return withAWS(ctx, trial, removeTrial(ctx)) }
	return trial, remove, withAWS(ctx, trial, func(objects *s3.Store, rows *dynamo.Store) error {
		if err := objects.Check(ctx); err != nil {
			return fmt.Errorf("check the object store: %w", err)
		}
		if err := rows.CreateTables(ctx, dynamo.TableOptions{}); err != nil {
			return errors.Join(err, rows.DeleteTables(context.WithoutCancel(ctx)))
		}
		return nil
	})
}

func removeTrial(ctx context.Context) func(*s3.Store, *dynamo.Store) error {
	return func(objects *s3.Store, rows *dynamo.Store) error {
		var keys []string
		for info, err := range objects.List(ctx, "") {
			if err != nil {
				return errors.Join(fmt.Errorf("remove the trial's objects: %w", err), rows.DeleteTables(ctx))
			}
			keys = append(keys, info.Key)
		}
		return errors.Join(objects.Delete(ctx, keys...), rows.DeleteTables(ctx))
	}
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
