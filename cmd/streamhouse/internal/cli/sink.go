package cli

import (
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/bench"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/rawtcp"
)

// newSink is the hidden command that bench runs as a process of its own.
func newSink() *cobra.Command {
	cmd := &cobra.Command{
		Use: bench.SinkCommand, Short: "Take the frames of the raw TCP baseline", Args: noArgs, Hidden: true,
	}
	readyFile := cmd.Flags().String("ready-file", "", "file to write the address to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		if err := announce(*readyFile, l.Addr().String()); err != nil {
			return err
		}
		return rawtcp.Serve(cmd.Context(), l)
	}
	return cmd
}

// announce writes the ready file in one step: its reader must not see half of
// it.
func announce(file, text string) error {
	if file == "" {
		return usagef("--ready-file is missing")
	}
	if err := os.WriteFile(file+".new", []byte(text+"\n"), 0o600); err != nil {
		return fmt.Errorf("write ready file: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write ready file: %w", err)
	}
	return nil
}
