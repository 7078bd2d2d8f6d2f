package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/demo"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/local"
)

const demoLong = `Start an agent in this process, with its store in a temporary folder, and send
it records over TCP. Every one is acknowledged when it is durable, read back,
and compared with what was sent, where, and in which order. The folder is
removed in the end. Nothing else is needed.`

func newDemo() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{Use: "demo", Short: "See it work: produce, read back and check a million records", Long: demoLong, Args: noArgs}
	f := cmd.Flags()
	f.IntVar(&o.Records, "records", 1_000_000, "records to send")
	f.IntVar(&o.Size, "record-size", 100, "bytes per record, key and value together")
	f.IntVar(&o.Partitions, "partitions", 8, "partitions of the topic")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.Validate(); err != nil {
			return usagef("%v", err)
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
	report, err := demoIn(ctx, cmd, dir, o)
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		return err
	}
	return report.Write(cmd.OutOrStdout())
}

func demoIn(ctx context.Context, cmd *cobra.Command, dir string, o demo.Options) (*demo.Report, error) {
	a, err := local.Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "agent on %s, store in %s\n", a.Addr, dir)
	report, err := demo.Run(ctx, o, a.Addr, cmd.ErrOrStderr())
	return report, errors.Join(err, a.Stop())
}
