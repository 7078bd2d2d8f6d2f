package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/record"
	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/proto/batch"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// maxRecord is the longest value that a batch can hold: what is left of one
// after its header and the bounds of a record.
var maxRecord = batch.MaxSize - batch.HeaderSize - batch.RecordSize(&batch.Record{})

const produceLong = `Produce records to a topic and wait until all of them are durable.

Every line of the input is the value of one record, to the byte: only its line
feed is cut off. --key-separator takes the key from the line's start, --whole
makes one record of the whole input, and --format json reads what
"streamhouse consume --format json" writes:

  {"key":"k","value":"v","headers":{"h":"x"},"timestamp":1700000000000}

Bytes that are not UTF-8 go into "key_base64" and "value_base64"; "value":null
is a tombstone. A partition in the input counts only with --keep-partitions.`

const produceExamples = `  streamhouse produce logs --file /var/log/syslog
  printf 'alice:1\nbob:2\n' | streamhouse produce scores --key-separator :
  streamhouse produce images --whole --header type=png < picture.png
  streamhouse consume orders --format json | streamhouse produce copy --format json`

// produceOptions are the flags of produce.
type produceOptions struct {
	*connection
	output *output

	file, format   string
	whole          bool
	text           record.TextOptions
	headers        []string
	partition      int32 // where placed
	placed         bool
	keepPartitions bool

	compression  string
	batchRecords int
	batchBytes   int
	linger       time.Duration
}

func newProduce() *cobra.Command {
	cmd := &cobra.Command{
		Use: "produce TOPIC", Short: "Produce records from lines, JSON or a whole file",
		Long: produceLong, Example: produceExamples, Args: oneTopic,
	}
	o := &produceOptions{connection: connectionFlags(cmd), output: outputFlag(cmd)}
	o.inputFlags(cmd)
	o.batchFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.placed = cmd.Flags().Changed("partition")
		return o.run(cmd, args[0])
	}
	return cmd
}

func (o *produceOptions) inputFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.file, "file", "-", "`file` to read; - is standard input")
	f.StringVar(&o.format, "format", "lines", "form of the input: lines or json (one object per line)")
	f.BoolVar(&o.whole, "whole", false, "take the whole input as the value of one record")
	f.StringVar(&o.text.KeySeparator, "key-separator", "", "text between key and value in every line; the first one counts")
	f.StringVar(&o.text.Null, "null", "", "text that stands for a null key or value (a null value is a tombstone)")
	f.StringArrayVar(&o.headers, "header", nil, "header for every record, `KEY=VALUE`; may be given several times")
	f.Int32Var(&o.partition, "partition", 0, "partition for every record (default by key, else spread)")
	f.BoolVar(&o.keepPartitions, "keep-partitions", false, "with --format json: use the partition that each record names")
	complete(cmd, "format", "lines", "json")
}

func (o *produceOptions) batchFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.compression, "compression", producer.S2.String(), "none, lz4, zstd or s2")
	f.IntVar(&o.batchRecords, "batch-records", 10_000, "records that close a batch")
	f.IntVar(&o.batchBytes, "batch-bytes", 1<<20, "bytes that close a batch, before compression")
	f.DurationVar(&o.linger, "linger", 10*time.Millisecond, "how long a batch waits for more records")
	complete(cmd, "compression", "none", "lz4", "zstd", "s2")
}

func (o *produceOptions) run(cmd *cobra.Command, topic string) error {
	if err := o.validate(); err != nil {
		return err
	}
	options, err := o.producerOptions(topic)
	if err != nil {
		return err
	}
	if err := o.check(cmd.Context(), topic); err != nil {
		return err
	}
	source, closer, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer closer.Close()
	p, err := producer.New(cmd.Context(), o.server, options...)
	if err != nil {
		return usagef("%s", flagNames.Replace(err.Error()))
	}
	return o.pump(cmd, p, source)
}

// flagNames turns the library's words for its options into this command's.
var flagNames = strings.NewReplacer("new producer: ", "", "WithBatchRecords", "--batch-records", "WithBatchBytes", "--batch-bytes",
	"WithLinger", "--linger", "WithDeliveryTimeout", "--timeout")

// validate refuses flags that contradict each other.
func (o *produceOptions) validate() error {
	switch {
	case o.format != "lines" && o.format != "json":
		return usagef("--format %q is unknown: use lines or json", o.format)
	case o.whole && o.format == "json":
		return usagef("--whole takes the input as it is: leave out --format json")
	case o.whole && o.text.KeySeparator != "":
		return usagef("--whole has no lines to take a key from: leave out --key-separator")
	case o.format == "json" && o.text.KeySeparator != "":
		return usagef("--format json names its keys: leave out --key-separator")
	case o.keepPartitions && o.format != "json":
		return usagef("only --format json names partitions: leave out --keep-partitions")
	case o.keepPartitions && o.placed:
		return usagef("give --partition or --keep-partitions, not both")
	case o.partition < 0:
		return usagef("--partition %d: partitions count from 0", o.partition)
	}
	for _, h := range o.headers {
		key, value, found := strings.Cut(h, "=")
		if !found {
			return usagef("--header %q: write it as KEY=VALUE", h)
		}
		o.text.Headers = append(o.text.Headers, record.Header{Key: key, Value: []byte(value)})
	}
	return nil
}

func (o *produceOptions) producerOptions(topic string) ([]producer.Option, error) {
	codec, err := batch.ParseCodec(o.compression)
	if err != nil {
		return nil, usagef("--compression: %v", err)
	}
	cfg, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	options := []producer.Option{
		producer.WithTopic(topic), producer.WithPartitioner(placed{producer.ByKey()}),
		producer.WithCompression(codec), producer.WithBatchRecords(o.batchRecords),
		producer.WithBatchBytes(o.batchBytes), producer.WithLinger(o.linger),
		producer.WithDeliveryTimeout(o.timeout),
	}
	if cfg != nil {
		options = append(options, producer.WithTLS(cfg), producer.WithServerName(o.serverName))
	}
	return options, nil
}

// check meets a wrong address or topic before the first line is read: the
// library would go on trying.
func (o *produceOptions) check(ctx context.Context, topic string) error {
	c, err := o.connection.open()
	if err != nil {
		return err
	}
	defer c.conn.Close()
	ctx, cancel := o.limit(ctx)
	defer cancel()
	found, err := c.topics.DescribeTopic(ctx, &streamhousev1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return err
	}
	if count := found.GetTopic().GetPartitionCount(); o.placed && uint32(o.partition) >= count {
		return usagef("topic %s has no partition %d: it has %s, from 0", topic, o.partition, partitionsOf(count))
	}
	return nil
}

// open opens the input.
func (o *produceOptions) open(cmd *cobra.Command) (record.Source, io.Closer, error) {
	input := io.NopCloser(interruptible(cmd.Context(), cmd.InOrStdin()))
	if o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return nil, nil, fmt.Errorf("open input: %w", err)
		}
		input = f
	}
	switch {
	case o.whole:
		return record.NewWhole(input, maxRecord, o.text), input, nil
	case o.format == "json":
		return record.NewJSONLines(input, maxRecord, o.text.Headers), input, nil
	default:
		return record.NewLines(input, maxRecord, o.text), input, nil
	}
}

// interruptible ends with ctx even while a read of r, which may be a keyboard,
// cannot be ended. The goroutine that reads then stays until the process ends.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	return out
}
