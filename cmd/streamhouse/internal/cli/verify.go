package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/human"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/progress"
	"github.com/streamhouse/streamhouse/services/agent"
)

const verifyLong = `Read a topic, or all, end to end and report the first fault.

It reads the store, with the settings that agents have: the partitions' rows
and index, the journals, the objects that these name, and every checksum. Agents
may run meanwhile, but for those of --store files, which have their folder
alone: stop that agent first, or give --server alone.

With --server it reads from agents what they give to consumers: offsets without
gaps, checksums, records. With both, it also compares the two.

The exit code is 1 when there is a fault.`

const verifyExamples = `  streamhouse verify --store-dir /var/lib/streamhouse
  streamhouse verify orders --server 10.0.0.5:7070
  streamhouse verify --store aws --store-bucket log --server 10.0.0.5:7070`

// verification is what one run of verify looks at, and what it found.
type verification struct {
	*connection
	output *output
	store  agent.Config
	flags  *pflag.FlagSet // of store

	topic  string
	report *agent.VerifyReport // of the store; nil when only agents were asked
	online *onlineReport       // nil when only the store was read
}

func newVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify [TOPIC]", Short: "Check a topic, or all, from its rows to the last byte",
		Long: verifyLong, Example: verifyExamples, Args: maybeOneTopic,
	}
	v := &verification{
		connection: connectionFlags(cmd), output: outputFlag(cmd),
	}
	v.flags = storeFlags(cmd, &v.store)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v.topic = strings.Join(args, "")
		return v.run(cmd)
	}
	return cmd
}

// storeFlags adds those of an agent's flags that say which store it has. It returns
// all of the agent's, for Load.
func storeFlags(cmd *cobra.Command, cfg *agent.Config) *pflag.FlagSet {
	flags := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	cfg.Register(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		if isStoreFlag(f.Name) || f.Name == "config" {
			cmd.Flags().AddFlag(f)
		}
	})
	complete(cmd, "store", agent.StoreFiles, agent.StoreAWS, agent.StoreRemote)
	return flags
}

func isStoreFlag(name string) bool { return name == "store" || strings.HasPrefix(name, "store-") }

func maybeOneTopic(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return oneTopic(cmd, args)
}

func (v *verification) run(cmd *cobra.Command) error {
	online, offline := cmd.Flags().Changed(serverFlag), false
	cmd.Flags().Visit(func(f *pflag.Flag) { offline = offline || isStoreFlag(f.Name) })
	if err := v.store.Load(v.flags, os.Environ()); err != nil {
		return usagef("%v", err)
	}
	var err error
	if offline || !online {
		err = v.readStore(cmd)
	}
	if err == nil && online {
		err = v.readAgents(cmd)
	}
	return v.tell(cmd, err)
}

func (v *verification) readStore(cmd *cobra.Command) (err error) {
	stop := func() {}
	defer func() { stop() }()
	opts := agent.VerifyOptions{Topic: v.topic, Started: func(n int64, done func() int64) {
		stop = progress.WatchUnits(cmd.ErrOrStderr(), "verified objects", "objects", n, done)
	}}
	v.report, err = agent.Verify(cmd.Context(), v.store.Store, opts)
	switch {
	case errors.Is(err, agent.ErrStoreInUse):
		return fmt.Errorf("%w; or read through the agent: streamhouse verify --server HOST:PORT", err)
	case errors.Is(err, agent.ErrNoStore):
		return fmt.Errorf("%w: give the store that agents have by --store and --store-dir, or an agent by --server", err)
	default:
		return err
	}
}

// verificationJSON is what --output json shows.
type verificationJSON struct {
	OK     bool                `json:"ok"`
	Fault  *agent.FaultError   `json:"fault,omitempty"`
	Error  string              `json:"error,omitempty"`
	Store  *agent.VerifyReport `json:"store,omitempty"`
	Agents *onlineReport       `json:"agents,omitempty"`
}

// tell prints what was checked, and what came of it.
func (v *verification) tell(cmd *cobra.Command, err error) error {
	fault, _ := errors.AsType[*agent.FaultError](err)
	if *v.output == jsonOutput {
		out := verificationJSON{OK: err == nil, Fault: fault, Store: v.report, Agents: v.online}
		if err != nil && fault == nil {
			out.Error = advise(err, v.server)
		}
		if failed := printJSON(cmd, out); failed != nil || err == nil {
			return failed
		}
		return exitError(exitFailed)
	}
	if err != nil && fault == nil {
		return err
	}
	v.print(cmd)
	if fault != nil {
		return fmt.Errorf("fault: %w", fault)
	}
	fmt.Fprintln(cmd.OutOrStdout(), "no fault")
	return nil
}

func (v *verification) print(cmd *cobra.Command) {
	out := cmd.OutOrStdout()
	if r := v.report; r != nil {
		fmt.Fprintf(out, "store: %s topics, %s partitions, %s sessions, %s seals, %s journal rows, %s segments\n",
			human.Count(r.Topics), human.Count(len(r.Partitions)), human.Count(r.Sessions), human.Count(r.Seals),
			human.Count(r.JournalRows), human.Count(r.Segments))
		fmt.Fprintf(out, "       %s index rows, %s merged objects\n", human.Count(r.IndexRows), human.Count(r.Merged))
		fmt.Fprintf(out, "       %s of objects, %s batches, %s, %s producer states\n",
			human.Bytes(r.Bytes), human.Count(r.Batches), recordsOf(r.Records), human.Count(r.States))
		if r.UnnamedCount > 0 {
			fmt.Fprintf(out, "       %s objects (%s) that no row names, which is no fault\n", human.Count(r.UnnamedCount), human.Bytes(r.UnnamedBytes))
		}
	}
	if r := v.online; r != nil {
		fmt.Fprintf(out, "agents: %s topics, %s partitions, %s batches, %s\n",
			human.Count(r.Topics), human.Count(r.Partitions), human.Count(r.Batches), recordsOf(r.Records))
	}
}

// topicsToRead lists the topics that verify reads through agents.
func (v *verification) topicsToRead(ctx context.Context, c *client) ([]string, error) {
	if v.topic != "" {
		return []string{v.topic}, nil
	}
	return listTopics(ctx, c)
}
