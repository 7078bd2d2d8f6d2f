package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Tail returns the seq that the next row of a session's journal will have. All
// rows below from are known to stand, or to have stood. A journal has hardly any
// gaps (see Read), so few reads find it: one when nothing stands from there on.
func Tail(ctx context.Context, store meta.Store, session string, from uint64) (uint64, error) {
	for {
		low, found, err := first(ctx, store, session, from)
		if err != nil || !found {
			return from, err
		}
		if from, err = gallop(ctx, store, session, low+1); err != nil {
			return 0, err
		}
	}
}

// first is the seq of the first row from a seq on.
func first(ctx context.Context, store meta.Store, session string, from uint64) (seq uint64, found bool, err error) {
	for row, err := range Read(ctx, store, session, from) {
		if err != nil {
			return 0, false, err
		}
		return row.Seq, true, nil
	}
	return 0, false, nil
}

// gallop finds a seq where no row stands, in front of which one stands, or stood.
func gallop(ctx context.Context, store meta.Store, session string, from uint64) (uint64, error) {
	low, high := from, from // whether high stands is looked up
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
