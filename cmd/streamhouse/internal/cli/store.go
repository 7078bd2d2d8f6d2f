package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/services/agent"
)

const storeLong = `Make or check what agents of --store aws keep their data in: an S3 bucket and
DynamoDB tables. Credentials, region and profile come from AWS's own settings,
as in AWS_PROFILE and AWS_REGION.`

const storeCreateLong = `Make the bucket and the tables that are missing, and check all of them. What is
there is left as it is. The tables are billed by request. This is for trials and
for LocalStack: the Terraform modules also protect the data from being deleted.`

const storeCheckLong = `Look whether agents could use the bucket and the tables, with the credentials
that this command has, and say what is wrong if not. A small object is written
and deleted; nothing else is changed.`

func newStore() *cobra.Command {
	cmd := &cobra.Command{Use: "store", Short: "Make or check the bucket and the tables on AWS", Long: storeLong}
	group(cmd)
	cmd.AddCommand(
		newStoreAction("create", "Make the bucket and the tables that are missing", storeCreateLong, agent.CreateStore, "ready"),
		newStoreAction("check", "Check the bucket and the tables", storeCheckLong, agent.CheckStore, "can be used"),
	)
	return cmd
}

// storeTimeout is above what new tables take, and what is down is tried for.
const storeTimeout = 3 * time.Minute

func newStoreAction(name, short, long string, do func(context.Context, agent.AWSConfig) error, done string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long, Args: noArgs,
		Example: "  streamhouse store " + name + " --bucket events --endpoint-url http://127.0.0.1:4566",
	}
	cfg := awsFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cfg.Bucket == "" {
			return usagef("the bucket is missing: give --bucket")
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), storeTimeout)
		defer cancel()
		if err := do(ctx, *cfg); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: bucket %s, tables %s-*\n", done, cfg.Bucket, cfg.TablePrefix)
		return nil
	}
	return cmd
}

// awsFlags adds the flags that name a store on AWS.
func awsFlags(cmd *cobra.Command) *agent.AWSConfig {
	var cfg agent.AWSConfig
	f := cmd.Flags()
	f.StringVar(&cfg.Bucket, "bucket", "", "S3 `bucket` of the segments")
	f.StringVar(&cfg.BucketPrefix, "bucket-prefix", "", "`prefix` of the keys of all objects")
	f.StringVar(&cfg.TablePrefix, "table-prefix", agent.DefaultTablePrefix, "`prefix` of the names of the DynamoDB tables")
	f.StringVar(&cfg.EndpointURL, "endpoint-url", "", "`url` in place of AWS's own endpoints (default what AWS_ENDPOINT_URL says)")
	return &cfg
}
