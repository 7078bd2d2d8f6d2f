package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/bench"
	"github.com/streamhouse/streamhouse/proto/batch"
)

const benchLong = `Measure how fast records become durable.

The agent runs in a process of its own; this one is the client. Only records
that were acknowledged inside the measured time count. The same run measures
raw TCP: frames of the same size, sent, checked and copied, and nothing else.
It is what this machine can do, and what the result is to be compared with.
CPU seconds are per million records. With --store aws, tables and a prefix in
the bucket are made for the run, and deleted afterwards.`

const benchExamples = `  streamhouse bench
  streamhouse bench --record-size 1024 --store-latency 60ms/200ms,4ms/10ms
  streamhouse bench --store files --partitions 1 --batch 100 --in-flight 16 --flush-rate 0
  streamhouse bench --store aws --bucket events --endpoint-url http://127.0.0.1:4566`

func newBench() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure throughput, latency, CPU and memory", Long: benchLong, Example: benchExamples, Args: noArgs,
	}
	output := outputFlag(cmd)
	var o bench.Options
	var latency, compression string
	f := cmd.Flags()
	f.IntVar(&o.RecordSize, "record-size", 100, "bytes per record")
	f.IntVar(&o.Batch, "batch", 1000, "records per batch")
	f.IntVar(&o.Partitions, "partitions", 16, "partitions of the topic")
	f.IntVar(&o.InFlight, "in-flight", 0, "batches per partition that may wait for their answer, at most 128 (default 64 MiB of all partitions' batches)")
	f.IntVar(&o.Producers, "producers", 1, "producers that share the load, in this process")
	f.IntVar(&o.Rate, "rate", 0, "records to send per second (default as many as it takes)")
	f.DurationVar(&o.Duration, "duration", 5*time.Second, "time to measure")
	f.DurationVar(&o.Warmup, "warmup", time.Second, "time to run before measuring")
	f.StringVar(&o.Store, "store", bench.Memory, "where the agent stores: memory, files, or aws, with --bucket")
	cfg := awsFlags(cmd)
	f.StringVar(&o.Dir, "dir", "", "`folder` for --store files (default a temporary one)")
	f.StringVar(&latency, "store-latency", "", "latency injected into PUTs and commits, `p50/p99,p50/p99`, such as 60ms/200ms,4ms/10ms")
	f.IntVar(&o.FlushRate, "flush-rate", 10, "most flushes per second below the byte target; 0 is no limit")
	f.StringVar(&compression, "compression", batch.None.String(), "none, lz4, zstd or s2; the payload is random")
	f.StringArrayVar(&o.AgentSettings, "agent-setting", nil, "further setting of the agent, `NAME=VALUE`; may be given several times")
	f.StringVar(&o.CPUProfile, "cpuprofile", "", "`file` for a CPU profile of the client")
	complete(cmd, "store", bench.Memory, bench.Files, bench.AWS)
	complete(cmd, "compression", "none", "lz4", "zstd", "s2")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if o.PutLatency, o.CommitLatency, err = bench.ParseStoreLatency(latency); err != nil {
			return usagef("--store-latency %v", err)
		}
		if o.Compression, err = batch.ParseCodec(compression); err != nil {
			return usagef("--compression: %v", err)
		}
		o.AWS = *cfg
		o = o.WithDefaults()
		if err := o.Validate(); err != nil {
			return usagef("%v", err)
		}
		return runBench(cmd, o, *output)
	}
	return cmd
}

func runBench(cmd *cobra.Command, o bench.Options, output output) error {
	note := func(s string) { fmt.Fprintln(cmd.ErrOrStderr(), s) }
	result, err := bench.Run(cmd.Context(), o, note)
	if err != nil {
		return err
	}
	if output == jsonOutput {
		return printJSON(cmd, result)
	}
	return result.WriteText(cmd.OutOrStdout())
}
