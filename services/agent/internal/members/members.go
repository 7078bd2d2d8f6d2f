// Package members watches who else works on a store. It reads the sessions' rows
// and judges by what it saw itself, on its own clock: a session is dead when its
// heartbeats and its journal stood still for a whole lease, while this agent's
// own heartbeats arrived (R8). No time from a row is ever looked at.
package members

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
)

// Watcher watches the sessions of a store. It is not safe for concurrent use.
type Watcher struct {
	rows meta.Store
	self string
	// steady tells since when this session's own heartbeats arrived without a
	// gap, and whether they do now.
	steady func(time.Time) (time.Time, bool)
	seen   map[string]*watched
}

// watched is what was seen of a session.
type watched struct {
	beat uint64
	// moved is when the heartbeat counter or the journal was last seen to have
	// moved, from after the read.
	moved time.Time
	// tail is the journal's, read since tailFrom; zero while there is no need.
	tail     uint64
	tailFrom time.Time
}

// View is what a look found. Nobody changes it.
type View struct {
	// Live are the sessions that may work, this one among them, sorted by ID.
	Live []*meta.Session
	// Dead are those that stood still for their whole lease, and are not sealed.
	Dead []Dead
	// Sealed are the IDs of the sessions that are finished.
	Sealed map[string]bool
	// Seen is when each session's heartbeat or journal was seen to move last.
	Seen map[string]time.Time
	// Troubles are journals that could not be read; their sessions count as live.
	Troubles []error
	// Next is when the first of the live sessions is dead if nothing moves;
	// zero when there is none to wait for.
	Next time.Time
}

// Dead is a session that may be sealed.
type Dead struct {
	*meta.Session
	// Since is when its lease had passed.
	Since time.Time
	// Tail is a seq below which all rows of its journal stand.
	Tail uint64
}

// New returns a watcher for the session self that has seen nothing yet.
func New(rows meta.Store, self string, steady func(time.Time) (time.Time, bool)) *Watcher {
	return &Watcher{rows: rows, self: self, steady: steady, seen: map[string]*watched{}}
}

// Look reads the sessions, and judges.
func (w *Watcher) Look(ctx context.Context) (*View, error) {
	view := &View{Sealed: map[string]bool{}, Seen: map[string]time.Time{}}
	var open []*meta.Session
	for row, err := range meta.Scan[*meta.Session](ctx, w.rows) {
		if err != nil {
			return nil, fmt.Errorf("read sessions: %w", err)
		}
		if row.Sealed {
			view.Sealed[row.ID] = true
		} else {
			open = append(open, row)
		}
	}
	slices.SortFunc(open, func(a, b *meta.Session) int { return cmp.Compare(a.ID, b.ID) })
	w.forget(open)
	for _, row := range open {
		w.judge(ctx, view, row)
	}
	return view, nil
}

// forget drops what is known of sessions that are sealed or gone.
func (w *Watcher) forget(open []*meta.Session) {
	here := make(map[string]bool, len(open))
	for _, row := range open {
		here[row.ID] = true
	}
	for id := range w.seen {
		if !here[id] {
			delete(w.seen, id)
		}
	}
}

// suspicion is the part of a lease, as a divisor, after which a session whose
// heartbeat stands still has its journal watched too. Before, that would only
// cost reads.
const suspicion = 4

// judge adds one session to the view.
func (w *Watcher) judge(ctx context.Context, view *View, row *meta.Session) {
	s := w.watch(row)
	lease := leaseOf(row)
	if row.ID == w.self {
		view.Live = append(view.Live, row)
		view.Seen[row.ID] = s.moved
		return
	}
	if time.Since(s.moved) >= lease/suspicion {
		if err := w.watchJournal(ctx, s, row.ID); err != nil {
			view.Troubles = append(view.Troubles, err)
		}
	}
	view.Seen[row.ID] = s.moved
	due, dead := w.dead(s, lease)
	if dead {
		view.Dead = append(view.Dead, Dead{Session: row, Since: due, Tail: s.tail})
		return
	}
	view.Live = append(view.Live, row)
	if due.After(time.Now()) && (view.Next.IsZero() || due.Before(view.Next)) {
		view.Next = due
	}
}

// watch notes whether the heartbeat moved.
func (w *Watcher) watch(row *meta.Session) *watched {
	s := w.seen[row.ID]
	if s == nil {
		s = &watched{}
		w.seen[row.ID] = s
	}
	if row.Beat != s.beat || s.moved.IsZero() {
		s.beat, s.moved, s.tailFrom = row.Beat, time.Now(), time.Time{}
	}
	return s
}

// leaseOf is a duration, the one thing of a session's row that is compared with
// a clock.
func leaseOf(row *meta.Session) time.Duration {
	return time.Duration(min(row.LeaseMillis, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// watchJournal notes whether the journal moved since it was read last. It is
// also sealed in front of what it is known to hold.
func (w *Watcher) watchJournal(ctx context.Context, s *watched, session string) error {
	tail, err := journal.Tail(ctx, w.rows, session, s.tail)
	if err != nil {
		return fmt.Errorf("watch session %s: %w", session, err)
	}
	now := time.Now()
	switch {
	case s.tailFrom.IsZero():
		s.tailFrom = now
	case tail != s.tail:
		s.moved = now
	}
	s.tail = tail
	return nil
}

// dead says whether everything stood still for a whole lease in which this
// session's own heartbeats arrived, and when that is due.
func (w *Watcher) dead(s *watched, lease time.Duration) (due time.Time, dead bool) {
	now := time.Now()
	steady, ok := w.steady(now)
	if mutation.Off(mutation.R8) {
		steady, ok = time.Time{}, true
	}
	due = s.moved.Add(lease)
	if steady.After(s.moved) {
		due = steady.Add(lease)
	}
	watched := !s.tailFrom.IsZero() && now.Sub(s.tailFrom) >= lease/2
	return due, ok && watched && !now.Before(due)
}
