// Package cleanup removes what nothing can name any more: journal rows that a
// checkpoint covers with the segments that they name, merged objects that
// retention let go, objects that were never committed, what deleted topics left,
// and sessions that are finished.
//
// Three things make that safe. Whether something is named is judged by what was
// read after it was known that its writer names nothing new; a session removes
// what is its own, others only what is a finished session's (R10). What became
// removable is removed after this process has itself seen it so for Options.Grace:
// readers may be on their way to it. And what says that something is left goes
// last, so that a crash is made good by whoever comes next. Two that clean up at
// once do no harm.
package cleanup

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Options tune a Cleaner.
type Options struct {
	// Grace is for how long something must have been seen removable.
	Grace time.Duration
	// PerSecond is how many requests are made at most to remove things; 0 stands
	// for 200.
	PerSecond int
	// Longest is how long one pass goes on removing; the next one continues. 0 is
	// without limit.
	Longest time.Duration
	// ListEvery is every which pass lists the objects of a session of which nothing
	// seems to be left to remove; 0 stands for 30.
	ListEvery int
	// SweepEvery is every which pass of Others reads all merges and lists all
	// objects, for what sessions left that have no row any more; 0 stands for 300.
	SweepEvery int
	// DryRun removes nothing, and tells what would be, without Grace.
	DryRun bool
	// Each, if set, is told of each removal.
	Each func(Action)
}

// DefaultGrace is the Grace that agents have.
const DefaultGrace = 5 * time.Minute

// Deps are what a Cleaner works with.
type Deps struct {
	Rows    meta.Store
	Objects objstore.Store
	// Session is the one on whose behalf Own works; empty for a tool, which has
	// none.
	Session string
	// Horizon is a number of a flush of Session: all below it are resolved, those
	// of other objects as well.
	Horizon func() uint64
	// Keep says that a row may be about to name an object of Session's.
	Keep   func(key string) bool
	Logger *slog.Logger
}

// Cleaner removes. It is not safe for concurrent use.
type Cleaner struct {
	opts   Options
	deps   Deps
	pace   pace
	report *Report   // of this pass
	until  time.Time // when this pass is to end; zero: never
	own    int       // passes of Own
	others int       // passes of Others

	sessions map[string]*session  // that are looked after
	deleted  map[uint32]time.Time // topics of which no row was found, since when
	strays   notes                // merged objects without a row
	noted    int                  // in all notes
	held     int                  // merges that are remembered
}

// session is what is remembered of a session.
type session struct {
	id     string
	row    *meta.Session // nil when it is gone
	trim   trimming
	merges merges
	// unnamed are its objects that no row names.
	unnamed notes
	// list is the pass in which its objects are listed next.
	list int
}

// New makes a Cleaner that has seen nothing yet.
func New(opts Options, deps Deps) *Cleaner {
	opts.PerSecond = cmp.Or(max(opts.PerSecond, 0), 200)
	opts.ListEvery = cmp.Or(max(opts.ListEvery, 0), 30)
	opts.SweepEvery = cmp.Or(max(opts.SweepEvery, 0), 300)
	if opts.DryRun {
		opts.Grace, opts.Longest = 0, 0
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	return &Cleaner{
		opts: opts, deps: deps, pace: pace{every: time.Second / time.Duration(opts.PerSecond)},
		sessions: map[string]*session{}, deleted: map[uint32]time.Time{},
	}
}

// begin starts a pass.
func (c *Cleaner) begin() {
	c.report = &Report{Removed: map[Group]Count{}, Waiting: map[Group]Count{}}
	c.until = time.Time{}
	if c.opts.Longest > 0 {
		c.until = time.Now().Add(c.opts.Longest)
	}
}

// late says that the pass has lasted long enough.
func (c *Cleaner) late() bool { return !c.until.IsZero() && !time.Now().Before(c.until) }

// due says that something was seen removable for long enough.
func (c *Cleaner) due(since time.Time) bool { return time.Since(since) >= c.opts.Grace }

// known returns what is remembered of a session.
func (c *Cleaner) known(id string) *session {
	s := c.sessions[id]
	if s == nil {
		s = &session{id: id}
		c.sessions[id] = s
	}
	return s
}

// forget drops what is remembered of a session.
func (c *Cleaner) forget(id string) {
	if s := c.sessions[id]; s != nil {
		c.noted -= len(s.unnamed)
		c.held -= len(s.merges.held)
		delete(c.sessions, id)
	}
}

// Own removes what the live session Deps.Session no longer needs: the beginning
// of its journal with the segments, its merges, and, every few passes, its
// objects that were never named.
func (c *Cleaner) Own(ctx context.Context) (Report, error) {
	c.begin()
	s := c.known(c.deps.Session)
	var objects candidates
	c.own++
	listing := c.toList(s, c.own)
	var errs []error
	if listing {
		var err error
		if objects, err = c.listOwn(ctx, s); err != nil {
			errs = append(errs, err)
			listing = false
		}
	}
	mergesErr := c.readMerges(ctx, s, s.merges.recent(listing))
	v := newView(c.deps.Rows) // reads the rest after what it judges
	if listing {
		if err := v.all(ctx); err != nil {
			return *c.report, errors.Join(append(errs, mergesErr, err)...)
		}
	}
	from, trimErr := c.trimJournal(ctx, s, v, objects)
	if mergesErr == nil {
		mergesErr = c.judgeMerges(ctx, s, v)
	}
	errs = append(errs, trimErr, mergesErr)
	switch {
	case !listing:
		c.notesWait(s.unnamed, Object)
	case trimErr == nil:
		s.list = c.own + c.opts.ListEvery
		_, err := c.judgeObjects(ctx, s, v, objects, from)
		errs = append(errs, err)
	}
	return *c.report, errors.Join(errs...)
}

// listOwn lists the objects of the own session which no commit, and no
// compare-and-set, can name any more. Keep is asked before the rows are read:
// whatever it does not keep is named by then, or never will be.
func (c *Cleaner) listOwn(ctx context.Context, s *session) (candidates, error) {
	horizon := c.deps.Horizon()
	found, err := c.list(ctx, s.id+"/", math.MaxInt)
	if err != nil {
		return nil, err
	}
	for key := range found {
		if n, ok := number(key); !ok || n >= horizon || c.deps.Keep(key) {
			delete(found, key)
		}
	}
	return found, nil
}
