package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/services/agent"
)

func newVersion() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Show the version of this program", Args: noArgs}
	o := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		platform := runtime.GOOS + "/" + runtime.GOARCH
		if *o == jsonOutput {
			return printJSON(cmd, map[string]string{"version": agent.Version(), "go": runtime.Version(), "platform": platform})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "streamhouse %s (%s, %s)\n", agent.Version(), runtime.Version(), platform)
		return nil
	}
	return cmd
}
