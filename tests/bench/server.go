package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/streamhouse/streamhouse/services/agent"
)

const (
	topic      = "bench"
	partitions = 16
)

const (
	streamHouse = "streamhouse"
	franz       = "franz-go"
)

var clients = []string{streamHouse, franz}

// serve runs a server until stdin ends, that is, until its parent has.
func serve(ctx context.Context, kind string, stdin io.Reader, out io.Writer) error {
	start := serveAgent
	if kind == franz {
		start = serveKafka
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	addr, wait, err := start(ctx)
	if err != nil {
		return fmt.Errorf("start %s: %w", kind, err)
	}
	if _, err := fmt.Fprintln(out, addr); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, stdin) // nothing comes
	cancel()
	return wait()
}

// serveAgent runs the real agent over a memory that keeps 256 MiB.
func serveAgent(ctx context.Context) (addr string, wait func() error, err error) {
	a, err := agent.New(agent.Config{
		Name:      "bench",
		Listeners: []agent.Listener{{Name: "internal", Address: "127.0.0.1:0"}},
		Store:     agent.StoreConfig{Kind: agent.StoreMemory, MemoryKeepBytes: 256 << 20},
		Flush:     agent.FlushConfig{Age: 10 * time.Millisecond, MaxPerSecond: agent.NoCeiling},
	})
	if err != nil {
		return "", nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-a.Ready()
	addr = a.Addr("internal")
	return addr, func() error { return <-ended }, createTopic(ctx, addr)
}

// serveKafka runs a broker that acknowledges and forgets.
func serveKafka(context.Context) (addr string, wait func() error, err error) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic), kfake.BlackholeProduce(),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": "2097152"}))
	if err != nil {
		return "", nil, err
	}
	return c.ListenAddrs()[0], func() error { c.Close(); return nil }, nil
}
