// Streamhouse-agent runs a StreamHouse agent; --help tells how.
package main

import (
	"context"
	"os"

	"github.com/streamhouse/streamhouse/services/agent"
)

func main() {
	os.Exit(agent.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
