package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
)

// run is the command. In the processes that it starts of itself, the first
// argument is a role.
func run(args []string, out io.Writer) error {
	ctx := context.Background()
	if len(args) == 2 && args[0] == "server" {
		return serve(ctx, args[1], os.Stdin, out)
	}
	if len(args) == 2 && args[0] == "client" {
		var job job
		if err := json.Unmarshal([]byte(args[1]), &job); err != nil {
			return fmt.Errorf("read job: %w", err)
		}
		return job.run(ctx, out)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	records := flags.Int("records", 5_000_000, "how many records of 100 bytes to send in a run; of 1 KiB it is a fifth")
	rounds := flags.Int("rounds", 3, "how often each is measured, in turn; the table has the medians")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return compare(ctx, *records, *rounds, out)
}
