package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

const updateLong = `Change a topic's settings; what is not given stays as it is.

The number of partitions can only grow. Records stay where they are, and the
new ones of a key go where the new number sends them: the order of a key's
records holds from one change to the next. Producers learn of new partitions
within their metadata age (5 minutes unless they say otherwise).`

func newTopicUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a topic's partitions and how long it keeps records", Long: updateLong, Args: oneTopic,
		Example: "  streamhouse topic update orders --partitions 16\n  streamhouse topic update orders --retention 168h --retention-bytes 0",
	}
	t := topicFlags(cmd)
	partitions := cmd.Flags().Uint32("partitions", 0, "number of partitions, not below what it is now, up to 10000")
	keep := retentionFlags(cmd)
	cmd.Flags().Lookup("partitions").DefValue = "" // what is not given stays
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := &streamhousev1.UpdateTopicRequest{Name: args[0]}
		given := cmd.Flags().Changed
		if given("partitions") {
			req.PartitionCount = partitions
		}
		if given(ageFlag) {
			req.RetentionMs = new(int64(keep.age))
		}
		if given(sizeFlag) {
			req.RetentionBytes = new(int64(keep.bytes))
		}
		if req.PartitionCount == nil && req.RetentionMs == nil && req.RetentionBytes == nil {
			return usagef("there is nothing to change: give --partitions, --%s or --%s", ageFlag, sizeFlag)
		}
		return t.update(cmd, req)
	}
	return cmd
}

func (t *topicCall) update(cmd *cobra.Command, req *streamhousev1.UpdateTopicRequest) error {
	return t.do(cmd, func(ctx context.Context, c *client) error {
		answer, err := c.topics.UpdateTopic(ctx, req)
		if err != nil {
			return err
		}
		now := topicOf(answer.GetTopic())
		if *t.output == jsonOutput {
			return printJSON(cmd, now)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "updated topic %s: %s, kept %s\n", now.Name, partitionsOf(now.PartitionCount), kept(now.RetentionMillis, now.RetentionBytes))
		return nil
	})
}
