package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/printer"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/reader"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/record"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

const consumeLong = `Read a topic's records and write them to standard output.

It reads from --from to the end that each partition had at the start; with
--follow it goes on until it is interrupted. The records of a partition keep
their order; those of different partitions mix. Partitions that are added later
are not read.

--since and --from-time begin each partition with its first record that is new
enough, by the timestamps that producers gave. Those behind it may be older.

--format is "raw" (every value and a line feed, to the byte), "json" (one object
per record and line, which "streamhouse produce --format json" reads back), or a
template:

` + record.TemplateHelp

const consumeExamples = `  streamhouse consume orders --partition 0 > orders.txt
  streamhouse consume orders --from -10 --format '%p/%o %T %k=%v\n'
  streamhouse consume orders --since 15m --follow
  streamhouse consume orders --follow --format json | jq .value`

// Reading many partitions at once hides the latency of each; more than these
// would only hold more memory, unless all have to be followed.
const parallelPartitions = 16

// fetchBudget bounds what all partitions' fetches hold at once, in bytes.
const fetchBudget = 32 << 20

// consumeOptions are the flags of consume.
type consumeOptions struct {
	*connection
	output *output

	from       position
	moment     *moment
	partitions []uint
	count      int64
	follow     bool
	format     string
	null       string
}

func newConsume() *cobra.Command {
	cmd := &cobra.Command{
		Use: "consume TOPIC", Short: "Read records and print them",
		Long: consumeLong, Example: consumeExamples, Args: oneTopic,
	}
	o := &consumeOptions{connection: connectionFlags(cmd), output: outputFlag(cmd), from: position{kind: earliest}}
	f := cmd.Flags()
	f.Var(&o.from, "from", "where to begin: earliest, latest, an offset, or -N for the last N of each partition")
	o.moment = momentFlags(cmd)
	f.UintSliceVar(&o.partitions, "partition", nil, "partitions to read, separated by commas (default all)")
	f.Int64Var(&o.count, "count", 0, "end after so many records (default no limit)")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with records as they are committed")
	f.StringVar(&o.format, "format", "raw", "raw, json or a template; --output json is the same as json")
	f.StringVar(&o.null, "null", "", "what raw and templates show for a null key or value")
	f.Lookup("partition").DefValue = "" // "[]" would be printed
	complete(cmd, "from", earliest, latest)
	complete(cmd, "format", "raw", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func (o *consumeOptions) run(cmd *cobra.Command, topic string) error {
	format, err := o.formatter()
	if err != nil {
		return err
	}
	if o.count < 0 {
		return usagef("--count %d: it must be 1 or more", o.count)
	}
	c, err := o.open()
	if err != nil {
		return err
	}
	defer c.conn.Close()
	owners := newOwners(o.connection, c)
	defer owners.close()
	found, spans, err := o.spans(cmd, owners, topic)
	if err != nil {
		return err
	}
	workers := parallelPartitions
	if o.follow {
		workers = len(spans)
	}
	r := reader.Reader{Client: owners, Topic: topic, TopicID: new(found.GetId()), MaxBytes: fetchBytes(min(workers, len(spans))), Patience: o.timeout}
	out := printer.New(cmd.OutOrStdout(), format, o.count)
	err = r.ReadAll(cmd.Context(), spans, workers, func(reader.Range) reader.Visitor { return out.Visitor() })
	return o.ending(cmd.Context(), err, out.Close())
}

// ending chooses what to tell. An interruption is how following ends.
func (o *consumeOptions) ending(ctx context.Context, read, written error) error {
	switch {
	case written != nil:
		return written
	case o.follow && ctx.Err() != nil && errors.Is(read, context.Canceled):
		return nil
	default:
		return read
	}
}

// fetchBytes shares the budget among the partitions that are read at once.
func fetchBytes(partitions int) uint32 {
	share := fetchBudget / max(partitions, 1)
	return uint32(min(max(share, 64<<10), 4<<20))
}

func (o *consumeOptions) formatter() (printer.Format, error) {
	format := o.format
	if *o.output == jsonOutput {
		format = "json"
	}
	switch format {
	case "json":
		return func(dst []byte, r *record.Record) []byte { return append(r.AppendJSON(dst), '\n') }, nil
	case "raw":
		format = `%v\n`
	}
	t, err := record.ParseTemplate(format, o.null)
	if err != nil {
		return nil, usagef("--format: %v", err)
	}
	return t.Append, nil
}

// spans asks for the topic and its partitions, and resolves in each of them where
// to begin.
func (o *consumeOptions) spans(cmd *cobra.Command, owners *owners, name string) (*streamhousev1.Topic, []reader.Range, error) {
	ms, timed, err := o.moment.at(cmd, time.Now())
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := o.limit(cmd.Context())
	defer cancel()
	found, err := owners.first.topics.DescribeTopic(ctx, &streamhousev1.DescribeTopicRequest{Name: name})
	if err != nil {
		return nil, nil, err
	}
	topic := found.GetTopic()
	for _, p := range o.partitions {
		if count := topic.GetPartitionCount(); p >= uint(count) {
			return nil, nil, usagef("topic %s has no partition %d: it has %s, from 0", name, p, partitionsOf(count))
		}
	}
	var spans []reader.Range
	for _, p := range found.GetPartitions() {
		if len(o.partitions) > 0 && !slices.Contains(o.partitions, uint(p.GetPartition())) {
			continue
		}
		span, err := reader.Range{}, error(nil)
		if timed {
			span, err = o.spanFrom(ctx, owners, topic, p.GetPartition(), ms)
		} else {
			span, err = o.span(ctx, cmd, owners, topic, p)
		}
		if err != nil {
			return nil, nil, err
		}
		if span.From < span.To {
			spans = append(spans, span)
		}
	}
	return topic, spans, nil
}

func (o *consumeOptions) span(ctx context.Context, cmd *cobra.Command, owners *owners, topic *streamhousev1.Topic, p *streamhousev1.Partition) (reader.Range, error) {
	start, end := p.GetStartOffset(), p.GetEndOffset()
	if p.EndOffset == nil {
		answer, err := owners.Fetch(ctx, &streamhousev1.FetchRequest{
			Topic: topic.GetName(), Partition: p.GetPartition(), Offset: start, MaxBytes: 1, TopicId: new(topic.GetId()),
		})
		if err != nil {
			return reader.Range{}, fmt.Errorf("ask for the end of %s/%d: %w", topic.GetName(), p.GetPartition(), err)
		}
		start, end = answer.GetStartOffset(), answer.GetEndOffset()
	}
	from := o.from.in(start, end)
	if from < start {
		fmt.Fprintf(cmd.ErrOrStderr(), "partition %d: offsets below %d are no longer there, beginning with that\n", p.GetPartition(), start)
		from = start
	}
	return o.upTo(reader.Range{Partition: p.GetPartition(), At: min(from, end), From: from, To: end}), nil
}
