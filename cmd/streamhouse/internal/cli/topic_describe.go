package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/table"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// partitionJSON is a partition as --output json shows it. EndOffset is null
// where only an agent that was not asked knows it.
type partitionJSON struct {
	Partition   uint32  `json:"partition"`
	Owner       string  `json:"owner"`
	Address     string  `json:"address"`
	Zone        string  `json:"zone"`
	Epoch       uint64  `json:"epoch"`
	StartOffset uint64  `json:"start_offset"`
	EndOffset   *uint64 `json:"end_offset"`
}

func newTopicDescribe() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe NAME", Short: "Show a topic's partitions, their owners and offsets", Args: oneTopic,
	}
	t := topicFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return t.do(cmd, func(ctx context.Context, c *client) error {
			found, err := c.topics.DescribeTopic(ctx, &streamhousev1.DescribeTopicRequest{Name: args[0]})
			if err != nil {
				return err
			}
			if *t.output == jsonOutput {
				return printJSON(cmd, describedJSON(found))
			}
			return printDescribed(cmd, found)
		})
	}
	return cmd
}

func describedJSON(found *streamhousev1.DescribeTopicResponse) topicJSON {
	described := topicOf(found.GetTopic())
	for _, p := range found.GetPartitions() {
		described.Partitions = append(described.Partitions, partitionJSON{
			Partition: p.GetPartition(), Owner: p.GetOwner(), Address: p.GetAddress(), Zone: p.GetZone(),
			Epoch: p.GetEpoch(), StartOffset: p.GetStartOffset(), EndOffset: p.EndOffset,
		})
	}
	return described
}

func printDescribed(cmd *cobra.Command, found *streamhousev1.DescribeTopicResponse) error {
	topic := found.GetTopic()
	fmt.Fprintf(cmd.OutOrStdout(), "topic %s, id %d, %s, %s, kept %s\n\n", topic.GetName(), topic.GetId(),
		partitionsOf(topic.GetPartitionCount()), recordsOf(recordsIn(found.GetPartitions())), kept(topic.GetRetentionMs(), topic.GetRetentionBytes()))
	columns := []table.Column{
		{Title: "PARTITION", Right: true},
		{Title: "START", Right: true},
		{Title: "END", Right: true},
		{Title: "EPOCH", Right: true},
		{Title: "ADDRESS"},
		{Title: "ZONE"},
		{Title: "OWNER", Flexible: true},
	}
	var rows [][]string
	for _, p := range found.GetPartitions() {
		end := "?"
		if p.EndOffset != nil {
			end = fmt.Sprint(p.GetEndOffset())
		}
		rows = append(rows, []string{
			fmt.Sprint(p.GetPartition()), fmt.Sprint(p.GetStartOffset()), end,
			fmt.Sprint(p.GetEpoch()), dash(p.GetAddress()), dash(p.GetZone()), dash(p.GetOwner()),
		})
	}
	return table.Write(cmd.OutOrStdout(), columns, rows)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// recordsIn counts the records of the partitions whose end is known.
func recordsIn(partitions []*streamhousev1.Partition) uint64 {
	var n uint64
	for _, p := range partitions {
		if p.EndOffset != nil {
			n += p.GetEndOffset() - p.GetStartOffset()
		}
	}
	return n
}
