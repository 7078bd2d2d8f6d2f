package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// output is how results are written.
type output string

const (
	textOutput output = "text"
	jsonOutput output = "json"
)

// outputFlag adds --output.
func outputFlag(cmd *cobra.Command) *output {
	o := textOutput
	cmd.Flags().Var(&o, "output", "text for people, json for machines")
	complete(cmd, "output", string(textOutput), string(jsonOutput))
	return &o
}

var _ pflag.Value = (*output)(nil)

// Set is part of pflag.Value.
func (o *output) Set(s string) error {
	switch output(s) {
	case textOutput, jsonOutput:
		*o = output(s)
		return nil
	default:
		return fmt.Errorf("use %s or %s", textOutput, jsonOutput)
	}
}

// String is part of pflag.Value.
func (o *output) String() string { return string(*o) }

// Type is part of pflag.Value.
func (*output) Type() string { return "text|json" }

// complete offers fixed values to the shell.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// The only error is a flag that does not exist, which a test would meet.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// printJSON writes v as one indented object.
func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}
