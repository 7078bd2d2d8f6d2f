// Command streamhouse runs an agent and talks to agents: it makes topics,
// produces, consumes, shows what StreamHouse does and measures it.
package main

import (
	"context"
	"os"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
