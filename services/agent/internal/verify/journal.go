package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Objects are read ahead, at most so many at a time and so many bytes.
const (
	aheadObjects = 16
	aheadBytes   = 64 << 20
)

// walk is the reading of one session's journal.
type walk struct {
	*verifier
	session *meta.Session
	named   map[string]int64 // the session's objects, less those that its rows named
	room    *semaphore.Weighted
	gets    sync.WaitGroup
	sealed  bool
	number  uint64 // the least that the next segment's footer may say
}

// journal checks a session's rows, one after the other, and the objects that
// they name.
func (v *verifier) journal(ctx context.Context, s *meta.Session) error {
	w := &walk{verifier: v, session: s, named: map[string]int64{}, room: semaphore.NewWeighted(aheadBytes)}
	for object, err := range v.objects.List(ctx, s.ID+"/") {
		if err != nil {
			return fmt.Errorf("list the objects of session %s: %w", s.ID, err)
		}
		w.named[object.Key] = object.Size
	}
	if err := w.run(ctx); err != nil {
		return err
	}
	if s.Sealed && !w.sealed {
		return &FaultError{Session: s.ID, What: "the session's row says that it is sealed, and its journal has no seal"}
	}
	w.reportUnnamed()
	return nil
}

// run reads rows in one goroutine and checks them in this one, in order, so that
// the first fault is the first.
func (w *walk) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer w.gets.Wait()
	defer cancel()
	jobs, ended := make(chan *job, aheadObjects), make(chan error, 1)
	w.gets.Go(func() {
		defer close(jobs)
		ended <- w.readRows(ctx, jobs)
	})
	for j := range jobs {
		<-j.done
		err := w.check(ctx, j)
		w.room.Release(j.weight)
		if err != nil {
			return err
		}
		w.done.Add(1)
	}
	return <-ended
}

// readRows starts to read the object of every segment. Nothing deletes rows
// yet, so that a journal begins at row 0.
func (w *walk) readRows(ctx context.Context, jobs chan<- *job) error {
	next := uint64(0)
	for row, err := range meta.Query[*meta.Entry](ctx, w.rows, w.session.ID, 0) {
		switch {
		case err != nil:
			return fmt.Errorf("read the journal of session %s: %w", w.session.ID, err)
		case row.Seq != next:
			return wrong("the row is missing: the next one is %d", row.Seq).at(w.session.ID, next)
		case w.sealed:
			return wrong("a row follows the seal").at(w.session.ID, row.Seq)
		case row.Seal && len(row.Segments) > 0:
			return wrong("the seal commits segments").at(w.session.ID, row.Seq)
		}
		next++
		w.report.JournalRows++
		if row.Seal {
			w.sealed = true
			w.report.Seals++
		}
		for i := range row.Segments {
			if err := w.start(ctx, jobs, row.Seq, &row.Segments[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walk) start(ctx context.Context, jobs chan<- *job, seq uint64, s *meta.Segment) error {
	fail := func(format string, args ...any) error {
		f := wrong(format, args...)
		f.Key = s.Key
		return f.at(w.session.ID, seq)
	}
	commits, err := journal.ParseCommits(s.Commits)
	if err != nil {
		return fail("its commits cannot be read: %v", err)
	}
	if !strings.HasPrefix(s.Key, w.session.ID+"/") {
		return fail("it names an object of another session")
	}
	j := &job{seq: seq, segment: s, commits: commits, done: make(chan struct{})}
	if w.opts.Topic == "" || slices.ContainsFunc(commits, func(c journal.Commit) bool { return w.topics[c.Topic] != nil }) {
		j.weight = min(max(s.Size, 1), aheadBytes)
		if err := w.room.Acquire(ctx, j.weight); err != nil {
			return err
		}
		w.gets.Go(func() { j.read(ctx, w.objects) })
	} else {
		j.skipped = true
		close(j.done)
	}
	select {
	case jobs <- j:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reportUnnamed tells what no row of the journal named.
func (w *walk) reportUnnamed() {
	keys := make([]string, 0, len(w.named))
	for key := range w.named {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		w.done.Add(1)
		if w.opts.Topic != "" || len(w.states[key]) > 0 {
			continue
		}
		size := w.named[key]
		w.report.UnnamedCount++
		w.report.UnnamedBytes += size
		if len(w.report.Unnamed) < maxUnnamed {
			w.report.Unnamed = append(w.report.Unnamed, Unnamed{Key: key, Size: size, Sealed: w.sealed})
		}
	}
}
