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
	first   uint64 // the seq of the first row that stands
	// uncovered says that a row was read that no checkpoint covers: what follows
	// it was not trimmed.
	uncovered bool
	number    uint64 // the least that the next segment's footer may say
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
	v.sealed[s.ID] = w.sealed
	w.reportUnnamed()
	return v.trimmed(ctx, s.ID, w.first)
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
	}
	return <-ended
}

// readRows starts to read the object of every segment. A journal is trimmed from
// its beginning on, meanwhile too, so that it has no gap after its first row.
func (w *walk) readRows(ctx context.Context, jobs chan<- *job) error {
	next, begun := uint64(0), false
	for row, err := range meta.Query[*meta.Entry](ctx, w.rows, w.session.ID, 0) {
		if err != nil {
			return fmt.Errorf("read the journal of session %s: %w", w.session.ID, err)
		}
		if !begun || row.Seq != next {
			if err := w.begin(ctx, row.Seq, next, begun); err != nil {
				return err
			}
		}
		switch {
		case w.sealed && w.uncovered: // where rows were trimmed, a seal may land late
			return wrong("a row follows the seal").at(w.session.ID, row.Seq)
		case row.Seal && len(row.Segments) > 0:
			return wrong("the seal commits segments").at(w.session.ID, row.Seq)
		}
		next, begun = row.Seq+1, true
		w.report.JournalRows++
		if w.sealed = row.Seal; row.Seal {
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

// begin notes that a journal begins at a row, where next was due if it had begun
// before: then the rows until there must have been trimmed meanwhile.
func (w *walk) begin(ctx context.Context, seq, next uint64, begun bool) error {
	w.first = seq
	if !begun {
		return nil
	}
	for row, err := range meta.Query[*meta.Entry](ctx, w.rows, w.session.ID, 0) {
		if err != nil {
			return fmt.Errorf("read the journal of session %s: %w", w.session.ID, err)
		}
		if row.Seq < next && w.uncovered {
			return wrong("the row is missing: the next one is %d", seq).at(w.session.ID, next)
		}
		return nil
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
	if slices.ContainsFunc(commits, w.needs) {
		w.uncovered = true
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

// needs says whether a commit is looked at: its topic is, and no checkpoint covered
// it when the partition's row was read. It is asked beside the checks, and so
// reads nothing that they change.
func (w *walk) needs(c journal.Commit) bool {
	if w.topics[c.Topic] == nil {
		return false
	}
	p := w.partitions[id{c.Topic, c.Partition}]
	return p == nil || endOf(&c) > p.row.Checkpoint.End
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
		w.report.addUnnamed(Unnamed{Key: key, Size: w.named[key], Sealed: w.sealed})
	}
}
