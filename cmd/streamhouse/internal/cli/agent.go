package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/services/agent"
)

const agentLong = `Run an agent here, until it is interrupted. It keeps its data in a folder, by
default ./streamhouse-data, and serves on 127.0.0.1:7070. Each setting is also
an environment variable: --flush-bytes is STREAMHOUSE_FLUSH_BYTES.`

// newAgent makes the command from the agent's own flags, so that help and
// completion know them. The agent then reads the command line itself, with its
// environment and file; ctx is one that no signal ends, for it handles signals
// as well.
func newAgent(ctx context.Context, args []string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "agent", Short: "Run an agent", Long: agentLong, Args: noArgs,
		Example: "  streamhouse agent --store-dir /var/lib/streamhouse --listen internal=10.0.0.5:7070",
	}
	cmd.Flags().SortFlags = false
	new(agent.Config).Register(cmd.Flags())
	complete(cmd, "store", agent.StoreFiles, agent.StoreAWS, agent.StoreMemory, agent.StoreRemote)
	complete(cmd, "log-format", agent.LogText, agent.LogJSON)
	complete(cmd, "log-level", "debug", "info", "warn", "error")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		own := args[slices.Index(args, cmd.Name())+1:]
		if code := agent.Main(ctx, own, cmd.OutOrStdout(), cmd.ErrOrStderr()); code != exitOK {
			return exitError(code)
		}
		return nil
	}
	return cmd
}
