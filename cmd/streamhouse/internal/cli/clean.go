package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/human"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/table"
	"github.com/streamhouse/streamhouse/services/agent"
)

const cleanLong = `Remove what finished sessions and deleted topics left in a store.

Agents do that by themselves, in the background. It works on the store, with the
settings that agents have, and agents may run meanwhile, but for those of --store
files, which have their folder alone: stop that agent first.

What belongs to a session that is not sealed is left alone: it works, or it died
and no agent has taken over from it yet. Start an agent for that.

Nothing is removed before it was seen to be of no use for --grace, for readers may
be on their way to it. Of --store files nobody reads meanwhile: --grace 0s is safe.`

const cleanExamples = `  streamhouse clean --dry-run --store aws --store-bucket log
  streamhouse clean --store-dir /var/lib/streamhouse --grace 0s`

// cleaning is one run of clean.
type cleaning struct {
	output  *output
	store   agent.Config
	flags   *pflag.FlagSet // of store
	options agent.CleanOptions
	verbose bool
	actions []agent.CleanAction // of --verbose, as JSON
}

func newClean() *cobra.Command {
	cmd := &cobra.Command{
		Use: "clean", Short: "Remove what finished sessions and deleted topics left in a store",
		Long: cleanLong, Example: cleanExamples, Args: noArgs,
	}
	c := &cleaning{output: outputFlag(cmd)}
	c.flags = storeFlags(cmd, &c.store)
	f := cmd.Flags()
	f.BoolVar(&c.options.DryRun, "dry-run", false, "remove nothing, and tell what would go, and why")
	f.BoolVarP(&c.verbose, "verbose", "v", false, "tell of each row and object")
	f.DurationVar(&c.options.Grace, "grace", agent.DefaultGrace, "for how long something must have been seen to be of no use")
	f.IntVar(&c.options.PerSecond, "rate", 200, "requests per second that remove things, at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.run(cmd) }
	return cmd
}

func (c *cleaning) run(cmd *cobra.Command) error {
	if c.options.Grace < 0 || c.options.PerSecond < 1 {
		return usagef("--grace must not be below 0s, nor --rate below 1")
	}
	if err := c.store.Load(c.flags, os.Environ()); err != nil {
		return usagef("%v", err)
	}
	if c.verbose {
		c.options.Each = func(a agent.CleanAction) { c.tellEach(cmd, a) }
	}
	report, err := agent.Clean(cmd.Context(), c.store.Store, c.options, func(n agent.CleanCount) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s rows and objects (%s) are of no use; they go in %s if that stays so\n",
			human.Count(n.Number), human.Bytes(n.Bytes), c.options.Grace.Round(time.Millisecond))
	})
	if errors.Is(err, agent.ErrNoStore) {
		err = fmt.Errorf("%w: give the store that agents have by --store and --store-dir", err)
	}
	if err != nil && len(report.Removed) == 0 {
		return err
	}
	return errors.Join(err, c.tell(cmd, &report))
}

// tellEach tells of one removal.
func (c *cleaning) tellEach(cmd *cobra.Command, a agent.CleanAction) {
	if *c.output == jsonOutput {
		c.actions = append(c.actions, a)
		return
	}
	size := ""
	if a.Bytes > 0 {
		size = fmt.Sprintf(" (%s)", human.Bytes(a.Bytes))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s %s%s: %s\n", a.What, a.Key, size, a.Why)
}

// cleanJSON is what --output json shows.
type cleanJSON struct {
	DryRun  bool                `json:"dry_run"`
	Removed []cleanGroupJSON    `json:"removed"`
	Waiting []cleanGroupJSON    `json:"waiting"`
	Each    []agent.CleanAction `json:"each,omitempty"`
}

type cleanGroupJSON struct {
	What   string `json:"what"`
	Why    string `json:"why"`
	Number int    `json:"number"`
	Bytes  int64  `json:"bytes"`
}

func cleanGroups(counts map[agent.CleanGroup]agent.CleanCount) []cleanGroupJSON {
	all := []cleanGroupJSON{}
	for _, g := range agent.CleanGroups(counts) {
		all = append(all, cleanGroupJSON{string(g.What), string(g.Why), counts[g].Number, counts[g].Bytes})
	}
	return all
}

// tell prints what went, or would go.
func (c *cleaning) tell(cmd *cobra.Command, r *agent.CleanReport) error {
	removed := cleanGroups(r.Removed)
	if *c.output == jsonOutput {
		return printJSON(cmd, cleanJSON{DryRun: c.options.DryRun, Removed: removed, Waiting: cleanGroups(r.Waiting), Each: c.actions})
	}
	out := cmd.OutOrStdout()
	if len(removed) == 0 {
		fmt.Fprintln(out, "nothing to remove")
	} else {
		title := "removed"
		if c.options.DryRun {
			title = "would go"
		}
		lines := make([][]string, len(removed))
		for i, g := range removed {
			lines[i] = []string{g.What, human.Count(g.Number), human.Bytes(g.Bytes), g.Why}
		}
		columns := []table.Column{{Title: title}, {Title: "number", Right: true}, {Title: "bytes", Right: true}, {Title: "why"}}
		if err := table.Write(out, columns, lines); err != nil {
			return fmt.Errorf("write result: %w", err)
		}
	}
	if n := r.Backlog(); n.Number > 0 {
		fmt.Fprintf(out, "%s rows and objects (%s) became of no use meanwhile, and wait for the next run\n", human.Count(n.Number), human.Bytes(n.Bytes))
	}
	return nil
}
