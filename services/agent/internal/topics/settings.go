package topics

import (
	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Less than these would let records go before anybody could read them, or
// segment by segment.
const (
	minRetentionMillis = 60_000
	minRetentionBytes  = 1 << 20
)

// check refuses settings that no topic can have.
func (c *Catalog) check(t *meta.Topic) error {
	switch {
	case t.Partitions < 1 || t.Partitions > c.maxPartitions:
		return reason.New(reason.InvalidArgument, "topic %q: %d partitions; a topic has 1 to %d", t.Name, t.Partitions, c.maxPartitions)
	case t.RetentionMillis != 0 && t.RetentionMillis < minRetentionMillis:
		return reason.New(reason.InvalidArgument,
			"topic %q: a retention of %d ms; give %d ms (a minute) or more, or 0 to keep records for ever", t.Name, t.RetentionMillis, minRetentionMillis)
	case t.RetentionBytes != 0 && t.RetentionBytes < minRetentionBytes:
		return reason.New(reason.InvalidArgument,
			"topic %q: a retention of %d bytes; give %d (1 MiB) or more for each partition, or 0 to keep all", t.Name, t.RetentionBytes, minRetentionBytes)
	}
	return nil
}
