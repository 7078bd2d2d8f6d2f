package recovery

import (
	"context"
	"errors"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// Tries at one read, and the pause after the first, which doubles.
const (
	tries      = 5
	firstPause = 20 * time.Millisecond
)

// retry tries a read again whose failure may pass: partitions that nobody owns
// wait for it.
func retry(ctx context.Context, read func() error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := read()
		if err == nil || Final(err) || try == tries {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, context.Cause(ctx))
		}
		pause *= 2
	}
}

// Final says whether err is of a read that would find the same again.
func Final(err error) bool {
	for _, e := range []error{
		journal.ErrCorrupt, segment.ErrCorrupt, objstore.ErrNotFound, meta.ErrTooNew, segment.ErrTooNew,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
