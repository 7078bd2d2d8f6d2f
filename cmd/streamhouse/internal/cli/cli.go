// Package cli is the streamhouse command: its subcommands, their flags, and
// what they print.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/table"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Streams are what a command reads and writes. Err takes messages and
// progress, Out takes results only.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs the command that args name and returns the exit code: 0 for
// success, 1 for a failure, 2 for a command line that makes no sense. The
// first SIGINT or SIGTERM ends the command in order, the second at once.
func Run(ctx context.Context, args []string, s Streams) int {
	root := newRoot(ctx, args)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Once stopped, a second signal has its default effect again.
	context.AfterFunc(ctx, stop)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	cmd, err := root.ExecuteContextC(ctx)
	return report(ctx, cmd, err)
}

// report tells what went wrong in one line and chooses the exit code.
func report(ctx context.Context, cmd *cobra.Command, err error) int {
	var exit exitError
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage):
		fmt.Fprintf(cmd.ErrOrStderr(), "Error: %s\nSee '%s --help'.\n", oneLine(err.Error()), cmd.CommandPath())
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(cmd.ErrOrStderr(), "Interrupted.")
		return exitFailed
	default:
		fmt.Fprintf(cmd.ErrOrStderr(), "Error: %s\n", advise(err, serverOf(cmd)))
		return exitFailed
	}
}

func newRoot(ctx context.Context, args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "streamhouse",
		Short: "A durable, ordered event log that keeps its data in an object store",
		Long: "StreamHouse is a durable, ordered event log. Its agents hold no disks: an object\n" +
			"store has the bytes and a database the truth about them.\n\n" +
			"Try it:  streamhouse demo",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	group(root)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", table.Width)))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%v", err) })
	root.AddCommand(newAgent(ctx, args), newCluster(), newTopic(), newProduce(), newConsume(), newVerify(), newClean(), newDemo(), newBench(), newStore(), newSink(), newVersion())
	return root
}

// group makes cmd, which only holds subcommands, refuse a name that is none of
// them: cobra alone would print its help and exit 0.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := ""
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = fmt.Sprintf(": did you mean %s?", strings.Join(near, " or "))
		}
		return usagef("%s has no command %q%s", cmd.CommandPath(), args[0], hint)
	}
}

// usageError is returned for a command line that makes no sense.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error {
	return &usageError{message: fmt.Sprintf(format, args...)}
}

// exitError ends the command with a code, after all was said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// oneTopic requires the name of a topic and nothing else.
func oneTopic(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 1:
		return nil
	case 0:
		return usagef("the topic's name is missing")
	default:
		return usagef("one topic is enough: %q is too much", args[1])
	}
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("there is nothing to do with %q", args[0])
	}
	return nil
}
