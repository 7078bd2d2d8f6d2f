package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Tail returns the seq that the next row of a session's journal will have. All
// rows below from are known to stand. A journal has no gaps, so few reads find
// it: one when nothing stands from there on.
func Tail(ctx context.Context, store meta.Store, session string, from uint64) (uint64, error) {
	low, high := from, from // rows below low stand; whether high does is looked up
	for step := uint64(1); ; step *= 2 {
		stands, err := stands(ctx, store, session, high)
		if err != nil {
			return 0, err
		}
		if !stands {
			break
		}
		low = high + 1
		high += step
	}
	for low < high {
		middle := low + (high-low)/2
		stands, err := stands(ctx, store, session, middle)
		if err != nil {
			return 0, err
		}
		if stands {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

func stands(ctx context.Context, store meta.Store, session string, seq uint64) (bool, error) {
	err := store.Get(ctx, &meta.Entry{Session: session, Seq: seq})
	if errors.Is(err, meta.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read journal %s: %w", session, err)
	}
	return true, nil
}
