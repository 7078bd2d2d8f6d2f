package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/demo"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/local"
	"github.com/streamhouse/streamhouse/services/agent"
)

const demoLong = `Start an agent in this process, with its store in a temporary folder, and send
it records over TCP. Every one is acknowledged when it is durable, read back,
and compared with what was sent, where, and in which order. The folder is
removed in the end. Nothing else is needed.

With --aws the store is in a bucket of S3, under a prefix of its own, and in
DynamoDB tables of its own, which are made for the demo and deleted in the end,
with the objects. What the requests cost is counted.`

const demoExamples = `  streamhouse demo
  streamhouse demo --aws --bucket events --records 100000
  streamhouse demo --aws --bucket events --endpoint-url http://127.0.0.1:4566`

func newDemo() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{Use: "demo", Short: "See it work: produce, read back and check a million records", Long: demoLong, Example: demoExamples, Args: noArgs}
	f := cmd.Flags()
	onAWS := f.Bool("aws", false, "use S3 and DynamoDB")
	cfg := awsFlags(cmd)
	f.IntVar(&o.Records, "records", 1_000_000, "records to send")
	f.IntVar(&o.Size, "record-size", 100, "bytes per record, key and value together")
	f.IntVar(&o.Partitions, "partitions", 8, "partitions of the topic")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.Validate(); err != nil {
			return usagef("%v", err)
		}
		if *onAWS != (cfg.Bucket != "") {
			return usagef("--aws and --bucket go together")
		}
		if *onAWS {
			return runDemoOnAWS(cmd.Context(), cmd, *cfg, o)
		}
		return runDemo(cmd.Context(), cmd, o)
	}
	return cmd
}

// runDemo reports only after everything has ended well: its last line is the
// proof.
func runDemo(ctx context.Context, cmd *cobra.Command, o demo.Options) error {
	dir, err := os.MkdirTemp("", "streamhouse-demo-")
	if err != nil {
		return fmt.Errorf("make store folder: %w", err)
	}
	report, err := demoIn(ctx, cmd, agent.StoreConfig{Kind: agent.StoreFiles, Dir: dir}, dir, o)
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		return err
	}
	return report.Write(cmd.OutOrStdout())
}

// runDemoOnAWS does the same in a store on AWS, which it removes as well when
// it was interrupted.
func runDemoOnAWS(ctx context.Context, cmd *cobra.Command, cfg agent.AWSConfig, o demo.Options) error {
	trial, remove, err := agent.TrialStore(ctx, cfg)
	if err != nil {
		return err
	}
	where := fmt.Sprintf("s3://%s/%s and tables %s-*", trial.Bucket, trial.BucketPrefix, trial.TablePrefix)
	report, err := demoIn(ctx, cmd, agent.StoreConfig{Kind: agent.StoreAWS, AWS: trial}, where, o)
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := errors.Join(err, remove(removing)); err != nil {
		return err
	}
	return report.Write(cmd.OutOrStdout())
}

func demoIn(ctx context.Context, cmd *cobra.Command, store agent.StoreConfig, where string, o demo.Options) (*demo.Report, error) {
	a, err := local.Start(ctx, store)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "agent on %s, store in %s\n", a.Addr, where)
	o.Prices = store.Prices()
	report, err := demo.Run(ctx, o, a.Addr, cmd.ErrOrStderr())
	return report, errors.Join(err, a.Stop())
}
