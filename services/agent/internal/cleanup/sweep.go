package cleanup

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// sweep goes through all objects and merges, and finds what no session's row
// leads to: sessions without a row that left objects or merges, and merged objects
// without a merge. These are garbage whoever wrote them: the row stood before the
// object was written, and goes after it.
func (c *Cleaner) sweep(ctx context.Context) (strays candidates, err error) {
	strays = candidates{}
	ids := map[string]bool{}
	for object, err := range c.deps.Objects.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("list objects: %w", err)
		}
		key, merged := strings.CutPrefix(object.Key, compaction.Folder)
		id, _, _ := strings.Cut(key, "/")
		ids[id] = true
		if merged && len(strays) < maxCandidates {
			strays[object.Key] = object.Size
		}
	}
	for row, err := range meta.Scan[*meta.Merge](ctx, c.deps.Rows) {
		if err != nil {
			return nil, fmt.Errorf("read merges: %w", err)
		}
		delete(strays, row.Object)
		ids[row.Session] = true
	}
	for id := range ids {
		if err := c.find(ctx, id); err != nil {
			return nil, err
		}
	}
	return strays, nil
}

// find remembers a session that has no row.
func (c *Cleaner) find(ctx context.Context, id string) error {
	if c.sessions[id] != nil || id == c.deps.Session || !isSession(id) {
		return nil
	}
	gone, err := c.gone(ctx, id)
	if err == nil && gone {
		c.known(id)
	}
	return err
}

// isSession says whether a folder can be a session's.
func isSession(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == 16
}
