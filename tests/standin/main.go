// Command standin is a small server that speaks S3 and DynamoDB on one address,
// as LocalStack does. Tests start it as a process; it also goes into an image
// of its own. It keeps objects in one folder and rows in memory, and takes the
// access key "test" with the secret "test".
//
// It proves that code paths work, not that AWS would accept the requests.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:4566", "`host:port` to serve HTTP on; port 0 takes a free one")
	flag.StringVar(&o.listenTLS, "listen-tls", "", "`host:port` to serve HTTPS on as well (default none)")
	flag.StringVar(&o.dir, "dir", "", "`folder` to keep everything in (default a new one, removed at the end)")
	flag.Int64Var(&o.dropAbove, "drop-above", math.MaxInt64, "`bytes` of an object beyond which it is taken and forgotten, for benchmarks")
	attached := flag.Bool("attached", false, "end as soon as standard input is closed, so that no test leaves a server behind")
	flag.Parse()
	if *attached {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}
