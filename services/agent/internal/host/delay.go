package host

import (
	"errors"
	"fmt"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/recovery"
)

// damage is the error of a partition that could not be recovered.
type damage struct {
	id  flush.ID
	err error
}

func (d *damage) Error() string {
	return fmt.Sprintf("recover partition %d of topic %d: %v", d.id.Partition, d.id.Topic, d.err)
}

func (d *damage) Unwrap() error { return d.err }

// onlyDamage says whether nothing failed but the recovery of partitions that
// are damaged for good: an agent serves the others all the same.
func onlyDamage(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			if !onlyDamage(err) {
				return false
			}
		}
		return true
	}
	d, ok := errors.AsType[*damage](err)
	return ok && recovery.Final(d.err)
}

// Pauses before a partition that could not be recovered is tried again.
const (
	firstDelay = time.Second
	maxDelay   = time.Minute
)

// delay is how long a partition has to wait.
type delay struct {
	until time.Time
	last  time.Duration
}

// waits says whether it is too early; a nil delay is none.
func (d *delay) waits(now time.Time) bool { return d != nil && now.Before(d.until) }

// delay keeps a partition that could not be recovered from being read in every
// round.
func (h *Host) delay(id flush.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.later[id]
	if d == nil {
		d = &delay{last: firstDelay / 2}
		h.later[id] = d
	}
	d.last = min(2*d.last, maxDelay)
	d.until = time.Now().Add(d.last)
}
