// Streamhouse-agent runs a StreamHouse agent; --help tells how.
package main

import (
	"context"
	"os"

	// The image has no file of authorities; where the system has one, that counts.
	_ "golang.org/x/crypto/x509roots/fallback"

	"github.com/streamhouse/streamhouse/services/agent"
)

func main() {
	os.Exit(agent.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
