package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/human"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/progress"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/table"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

func newTopic() *cobra.Command {
	cmd := &cobra.Command{Use: "topic", Short: "Make, list, describe, change and delete topics"}
	group(cmd)
	cmd.AddCommand(newTopicCreate(), newTopicList(), newTopicDescribe(), newTopicUpdate(), newTopicDelete())
	return cmd
}

// topicCall is what all topic commands share: one limited call, one result.
type topicCall struct {
	*connection
	output *output
}

func topicFlags(cmd *cobra.Command) topicCall {
	return topicCall{connection: connectionFlags(cmd), output: outputFlag(cmd)}
}

// do runs call with a client and the timeout.
func (t *topicCall) do(cmd *cobra.Command, call func(ctx context.Context, c *client) error) error {
	c, err := t.open()
	if err != nil {
		return err
	}
	defer c.conn.Close()
	ctx, cancel := t.limit(cmd.Context())
	defer cancel()
	return call(ctx, c)
}

// topicJSON is a topic as --output json shows it.
type topicJSON struct {
	Name            string          `json:"name"`
	ID              uint32          `json:"id"`
	PartitionCount  uint32          `json:"partition_count"`
	RetentionMillis int64           `json:"retention_ms"`
	RetentionBytes  int64           `json:"retention_bytes"`
	Partitions      []partitionJSON `json:"partitions,omitempty"`
}

func topicOf(t *streamhousev1.Topic) topicJSON {
	return topicJSON{
		Name: t.GetName(), ID: t.GetId(), PartitionCount: t.GetPartitionCount(),
		RetentionMillis: t.GetRetentionMs(), RetentionBytes: t.GetRetentionBytes(),
	}
}

func newTopicCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a topic", Args: oneTopic,
		Example: "  streamhouse topic create orders --partitions 8\n  streamhouse topic create clicks --retention 168h --retention-bytes 10GiB",
	}
	t := topicFlags(cmd)
	partitions := cmd.Flags().Uint32("partitions", 1, "number of partitions, 1 to 10000")
	keep := retentionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return t.do(cmd, func(ctx context.Context, c *client) error {
			answer, err := c.topics.CreateTopic(ctx, &streamhousev1.CreateTopicRequest{
				Name: args[0], PartitionCount: *partitions, RetentionMs: int64(keep.age), RetentionBytes: int64(keep.bytes),
			})
			if err != nil {
				return err
			}
			made := topicOf(answer.GetTopic())
			if *t.output == jsonOutput {
				return printJSON(cmd, made)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "created topic %s with %s\n", made.Name, partitionsOf(made.PartitionCount))
			return nil
		})
	}
	return cmd
}

func newTopicList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List all topics", Args: noArgs}
	t := topicFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return t.do(cmd, func(ctx context.Context, c *client) error {
			answer, err := c.topics.ListTopics(ctx, &streamhousev1.ListTopicsRequest{})
			if err != nil {
				return err
			}
			return t.printList(cmd, answer.GetTopics())
		})
	}
	return cmd
}

func (t *topicCall) printList(cmd *cobra.Command, topics []*streamhousev1.Topic) error {
	list := make([]topicJSON, 0, len(topics))
	var rows [][]string
	for _, topic := range topics {
		list = append(list, topicOf(topic))
		rows = append(rows, []string{topic.GetName(), human.Count(topic.GetPartitionCount()), kept(topic.GetRetentionMs(), topic.GetRetentionBytes()), fmt.Sprint(topic.GetId())})
	}
	if *t.output == jsonOutput {
		return printJSON(cmd, map[string]any{"topics": list})
	}
	if len(list) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "There is no topic yet: make one with `streamhouse topic create NAME`.")
		return nil
	}
	columns := []table.Column{{Title: "TOPIC", Flexible: true}, {Title: "PARTITIONS", Right: true}, {Title: "RETENTION"}, {Title: "ID", Right: true}}
	return table.Write(cmd.OutOrStdout(), columns, rows)
}

func newTopicDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a topic and all its records, for good", Args: oneTopic,
	}
	t := topicFlags(cmd)
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !*yes && !progress.IsTerminal(cmd.InOrStdin()) {
			return usagef("deleting a topic cannot be undone: give --yes")
		}
		return t.delete(cmd, args[0], *yes)
	}
	return cmd
}

// delete deletes by name and id: while a person thinks about the question,
// somebody could make another topic under the name.
func (t *topicCall) delete(cmd *cobra.Command, name string, yes bool) error {
	var found *streamhousev1.DescribeTopicResponse
	err := t.do(cmd, func(ctx context.Context, c *client) (err error) {
		found, err = c.topics.DescribeTopic(ctx, &streamhousev1.DescribeTopicRequest{Name: name})
		return err
	})
	if err != nil {
		return err
	}
	if !yes && !confirmed(cmd, found) {
		return usagef("topic %s was not deleted", name)
	}
	return t.do(cmd, func(ctx context.Context, c *client) error {
		id := found.GetTopic().GetId()
		if _, err := c.topics.DeleteTopic(ctx, &streamhousev1.DeleteTopicRequest{Name: name, Id: &id}); err != nil {
			return err
		}
		if *t.output == jsonOutput {
			return printJSON(cmd, map[string]any{"deleted": topicOf(found.GetTopic())})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "deleted topic %s\n", name)
		return nil
	})
}

// confirmed asks for the name: a lone y is typed too easily.
func confirmed(cmd *cobra.Command, found *streamhousev1.DescribeTopicResponse) bool {
	name := found.GetTopic().GetName()
	fmt.Fprintf(cmd.ErrOrStderr(), "Topic %s holds %s in %s. Type its name to delete it for good: ",
		name, recordsOf(recordsIn(found.GetPartitions())), partitionsOf(found.GetTopic().GetPartitionCount()))
	// No line is no confirmation, whatever the reason.
	line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	return strings.TrimSpace(line) == name
}

func partitionsOf(n uint32) string {
	if n == 1 {
		return "1 partition"
	}
	return human.Count(n) + " partitions"
}
