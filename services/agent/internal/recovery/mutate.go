package recovery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// countUnnamed does what nobody may: it moves checkpoints over index rows that
// stand, although no checkpoint names their compaction. It runs where a mutation
// asks for it only.
func countUnnamed(ctx context.Context, rows meta.Store, partitions []*meta.Partition) []*meta.Partition {
	moved := make([]*meta.Partition, len(partitions))
	for i, p := range partitions {
		row := *p
		moved[i] = &row
		log := fmt.Sprintf("%d/%d/", p.Topic, p.Partition)
		for run, err := range meta.Scan[*meta.Run](ctx, rows) {
			if err != nil || !strings.HasPrefix(run.Log, log) || run.Base != row.Checkpoint.End {
				continue
			}
			var id uint64
			if _, err := fmt.Sscanf(run.Log[len(log):], "%x", &id); err != nil {
				continue
			}
			row.Checkpoint.End, row.Checkpoint.Bytes = run.Last+1, run.Total
			row.Checkpoint.Compactions = append(slices.Clone(row.Checkpoint.Compactions), meta.Compaction{ID: id, End: run.Last + 1})
		}
	}
	return moved
}
