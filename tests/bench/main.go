// Command bench measures what sending costs the application: StreamHouse's
// producer against a StreamHouse agent, and franz-go against kfake, the fake
// broker of its authors, side by side.
//
// Clients and servers are processes of their own, so that a client's CPU time,
// as the operating system counts it, is the client's alone. Both send the same
// records, uncompressed, idempotent, in batches of about 1000, to 16 partitions
// over the loopback device, and both servers keep little or nothing of what
// they acknowledge.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
