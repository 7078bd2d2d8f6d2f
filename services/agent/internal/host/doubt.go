package host

import (
	"context"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// doubtful notes that a row of some version is being made ours. Until that is
// known to have succeeded or failed, it may: late, and after the plan has given
// the partition to somebody else. Nobody would serve it then, and nobody could
// take it, for its owner lives.
func (h *Host) doubtful(id flush.ID, version uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubts[id] = version
}

// doubted says whether a row may have become ours unheard.
func (h *Host) doubted(id flush.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, is := h.doubts[id]
	return is
}

// resolveDoubts reads the rows of what should not be ours and may have become
// so. Such a partition is served, until its next owner takes it.
func (h *Host) resolveDoubts(ctx context.Context, p *plan) error {
	var ids []flush.ID
	h.mu.Lock()
	for id := range h.doubts {
		if !h.mine(p, id) && !h.busy[id] { // what is ours is read anyway
			ids = append(ids, id)
		}
	}
	h.mu.Unlock()
	ids = h.claim(ids)
	defer h.free(ids)
	rows, err := h.read(ctx, ids)
	if err != nil {
		return err
	}
	var won []*meta.Partition
	for _, row := range rows {
		id := flush.ID{Topic: row.Topic, Partition: row.Partition}
		if row.Owner == h.Session.ID {
			won = append(won, row)
		} else {
			h.notOurs(id, row.Version)
		}
	}
	return h.acquireAll(ctx, won)
}

// notOurs ends the doubt about a row that somebody else has changed since: a swap
// of the version before cannot succeed any more (R11).
func (h *Host) notOurs(id flush.ID, version uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before, doubted := h.doubts[id]; doubted && version > before {
		delete(h.doubts, id)
	}
}
