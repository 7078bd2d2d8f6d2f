// Package journal keeps a session's journal: rows (session, seq) from 0
// without gaps, each a commit or, as the last one, the seal. A batch is
// committed at the moment the row that names it exists.
package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
)

// ErrFenced is returned by Append when another session sealed the journal, or
// wrote to it: this session is finished (R7).
var ErrFenced = errors.New("the session was taken over")

// ErrUnresolved is returned by Append after an earlier Append ended without
// knowing whether its row stands: nothing else may take that row's place.
var ErrUnresolved = errors.New("an earlier commit is unresolved")

// Backoff between two tries at a row whose outcome is unknown.
const (
	firstBackoff = 5 * time.Millisecond
	maxBackoff   = time.Second
)

// Writer appends to the journal of the session that owns it. It is not safe
// for concurrent use: commits go in order (R1).
type Writer struct {
	store      meta.Store
	session    string
	next       uint64
	unresolved bool
}

// NewWriter writes the journal of a new session, from seq 0.
func NewWriter(store meta.Store, session string) *Writer {
	return &Writer{store: store, session: session}
}

// Next is the seq that the next Append writes.
func (w *Writer) Next() uint64 { return w.next }

// Append commits segments, all or none. It returns nil once the row stands. While it does
// not know, it asks and tries again, with the same row and nothing else (R3),
// until it knows or ctx ends; then the outcome is unknown for good, and every
// later Append returns ErrUnresolved.
func (w *Writer) Append(ctx context.Context, segments []meta.Segment) error {
	if w.unresolved {
		return ErrUnresolved
	}
	row := &meta.Entry{Session: w.session, Seq: w.next, Segments: segments}
	for backoff := firstBackoff; ; backoff = min(2*backoff, maxBackoff) {
		stands, err := w.try(ctx, row)
		if err == nil && stands {
			w.next++
			return nil
		}
		if errors.Is(err, ErrFenced) && mutation.Off(mutation.R1) {
			w.next++
			row.Seq = w.next
			continue
		}
		if errors.Is(err, ErrFenced) {
			w.unresolved = true // R7: nothing follows
			return err
		}
		if sleep(ctx, backoff) != nil {
			w.unresolved = true
			return fmt.Errorf("commit segments: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}

// try writes the row once, and reads it where the write's outcome is in doubt.
func (w *Writer) try(ctx context.Context, row *meta.Entry) (stands bool, err error) {
	created := w.store.Create(ctx, row)
	if created == nil {
		return true, nil
	}
	if mutation.Off(mutation.R3) && errors.Is(created, meta.ErrExists) {
		return true, nil
	}
	found := &meta.Entry{Session: row.Session, Seq: row.Seq}
	switch err := w.store.Get(ctx, found); {
	case errors.Is(err, meta.ErrNotFound):
		return false, created
	case err != nil:
		return false, errors.Join(created, err)
	case same(row, found):
		return true, nil
	default:
		return false, fmt.Errorf("journal %s at %d: %w", row.Session, row.Seq, ErrFenced)
	}
}

// same tells our own row from any other: segment keys are never used twice.
func same(a, b *meta.Entry) bool {
	return !b.Seal && slices.EqualFunc(a.Segments, b.Segments, func(a, b meta.Segment) bool {
		return a.Key == b.Key && a.Size == b.Size && bytes.Equal(a.Commits, b.Commits)
	})
}

// Read yields the rows of a session's journal from a seq on. A journal has no gaps
// but where it was trimmed: at its beginning, and behind what landed late where a
// row was removed, from a sender that had given it up. That is a commit that stood
// there, and commits nothing that a checkpoint does not cover, or the seal of one
// who lost against it: rows follow it, and only the last row seals a journal. Any
// other gap is damage, which its reader must judge.
func Read(ctx context.Context, store meta.Store, session string, from uint64) iter.Seq2[*meta.Entry, error] {
	return func(yield func(*meta.Entry, error) bool) {
		for row, err := range meta.Query[*meta.Entry](ctx, store, session, from) {
			if err != nil {
				yield(nil, fmt.Errorf("read journal %s: %w", session, err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// Seal ends a session's journal on behalf of the session by, and returns the
// seq of the seal: no row below it can appear any more (R4). From is a seq below
// which all rows are known to stand. It tries until a seal stands or ctx ends; a
// journal that is sealed already stays as it is.
func Seal(ctx context.Context, store meta.Store, session, by string, from uint64) (uint64, error) {
	for backoff := firstBackoff; ; {
		end, err := sealOnce(ctx, store, session, by, &from)
		if err == nil {
			return end, nil
		}
		if errors.Is(err, meta.ErrExists) && ctx.Err() == nil {
			continue // a commit came first: whoever waits now loses to the next one too
		}
		if sleep(ctx, backoff) != nil {
			return 0, fmt.Errorf("seal journal %s: %w", session, errors.Join(context.Cause(ctx), err))
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// sealOnce looks for the end, from *from on, and creates the seal there. Where
// somebody else was faster, the next try goes on from there. The row before
// *from may be the seal, which an earlier try set without hearing of it.
func sealOnce(ctx context.Context, store meta.Store, session, by string, from *uint64) (uint64, error) {
	next, sealed := max(*from, 1)-1, false
	for row, err := range Read(ctx, store, session, next) {
		if err != nil {
			return 0, err
		}
		sealed, next = row.Seal, row.Seq+1
	}
	if sealed {
		return next - 1, nil
	}
	*from = next
	err := store.Create(ctx, &meta.Entry{Session: session, Seq: next, Seal: true, By: by})
	if err != nil {
		return 0, err
	}
	return next, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
