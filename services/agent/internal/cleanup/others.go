package cleanup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
)

// Others removes what finished sessions and deleted topics left. Sessions come
// first, then what they left, and tombstones and partitions last: what no row
// names then was unnamed after it was known that its session was finished.
func (c *Cleaner) Others(ctx context.Context) (Report, error) {
	c.begin()
	sweeping := c.others%c.opts.SweepEvery == 0
	c.others++
	if err := c.readSessions(ctx); err != nil {
		return *c.report, err
	}
	var strays candidates
	if sweeping {
		var err error
		if strays, err = c.sweep(ctx); err != nil {
			return *c.report, err
		}
	}
	deleted, err := c.deletedTopics(ctx)
	if err != nil {
		return *c.report, err
	}
	p := &pass{Cleaner: c, sessions: c.order(), listed: map[*session]candidates{}, broken: map[*session]bool{}}
	p.read(ctx, sweeping)
	p.view = newView(c.deps.Rows)
	if err := p.view.all(ctx); err != nil {
		return *c.report, errors.Join(append(p.errs, err)...)
	}
	p.note(c.bury(ctx, deleted, p.view))
	p.note(c.removeTopics(ctx, p.view))
	for _, s := range p.sessions {
		if ctx.Err() == nil {
			p.session(ctx, s)
		}
	}
	if sweeping {
		_, err := c.removeUnnamed(ctx, &c.strays, strays, MergedObject)
		p.note(err)
	}
	p.note(ctx.Err())
	return *c.report, errors.Join(p.errs...)
}

// pass is one pass of Others.
type pass struct {
	*Cleaner
	sessions []*session
	listed   map[*session]candidates
	broken   map[*session]bool // of which not all could be read
	view     *view
	errs     []error
}

func (p *pass) note(err error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

// readSessions finds the sessions that are finished. One that is remembered and
// has no row any more stays until nothing is left of it.
func (c *Cleaner) readSessions(ctx context.Context) error {
	found := map[string]*meta.Session{}
	for row, err := range meta.Scan[*meta.Session](ctx, c.deps.Rows) {
		if err != nil {
			return fmt.Errorf("read sessions: %w", err)
		}
		found[row.ID] = row
		if row.ID != c.deps.Session && (row.Sealed || mutation.Off(mutation.RemoveByAge)) {
			c.known(row.ID)
		}
	}
	for id, s := range c.sessions {
		s.row = found[id]
	}
	return nil
}

// order lists the sessions that are finished, the oldest first.
func (c *Cleaner) order() []*session {
	var all []*session
	for id, s := range c.sessions {
		if id != c.deps.Session {
			all = append(all, s)
		}
	}
	started := func(s *session) int64 {
		if s.row == nil {
			return 0
		}
		return s.row.StartedMillis
	}
	slices.SortFunc(all, func(a, b *session) int {
		return cmp.Or(cmp.Compare(started(a), started(b)), strings.Compare(a.id, b.id))
	})
	return all
}

// read reads what the sessions left.
func (p *pass) read(ctx context.Context, again bool) {
	room := maxCandidates
	for _, s := range p.sessions {
		if ctx.Err() != nil {
			return
		}
		if !s.merges.read || again {
			if err := p.readMerges(ctx, s, 0); err != nil {
				p.broken[s] = true
				p.note(err)
			}
		}
		if room <= 0 || !p.toList(s, p.others) {
			continue
		}
		objects, err := p.list(ctx, s.id+"/", room)
		if err != nil {
			p.note(err)
			continue
		}
		p.listed[s] = objects
		room -= len(objects)
	}
}

// session removes what can go of one session.
func (p *pass) session(ctx context.Context, s *session) {
	live := s.row != nil && !s.row.Sealed // only where a rule is switched off
	if !p.broken[s] && !live {
		p.note(p.judgeMerges(ctx, s, p.view))
	}
	objects, listed := p.listed[s]
	if listed {
		s.list = p.others + p.opts.ListEvery
	}
	if p.view.owners[s.id] && !live {
		return // a compare-and-set of its may be under way, and name another object
	}
	from := uint64(0)
	if !live {
		var err error
		if from, err = p.trimJournal(ctx, s, p.view, objects); err != nil {
			p.note(err)
			return
		}
	}
	if !listed {
		p.notesWait(s.unnamed, Object)
		if from > 0 {
			s.list = 0 // perhaps nothing is left of it
		}
		return
	}
	complete := len(objects) < maxCandidates
	l, err := p.judgeObjects(ctx, s, p.view, objects, from)
	p.note(err)
	if err == nil && complete && l.objects == 0 && l.rows == 0 {
		p.note(p.removeSession(ctx, s, l.sealed))
	}
}

// removeSession removes the row of a session of which nothing is left but, perhaps,
// merges. Nothing is forgotten with it: whoever meets the session's id finds no
// row, and its journal is sealed for good.
func (p *pass) removeSession(ctx context.Context, s *session, sealed bool) error {
	if s.row != nil && sealed && s.row.Sealed && !p.view.mentioned[s.id] {
		err := p.removeRow(ctx, s.row, Action{What: SessionRow, Key: s.id, Why: Finished})
		if err != nil || p.opts.DryRun {
			return err
		}
		s.row = nil
	}
	if s.row == nil && len(s.merges.held) == 0 && s.merges.read {
		p.forget(s.id)
	}
	return nil
}

// missing says whether a read found nothing.
func missing(err error, verb string) (bool, error) {
	if errors.Is(err, meta.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", verb, err)
	}
	return false, nil
}
