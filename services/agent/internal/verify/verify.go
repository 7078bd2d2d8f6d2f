// Package verify reads a store end to end and holds what it finds against the
// commit protocol: every session's journal, every object that a journal names,
// and every partition's row. It writes nothing.
//
// What it reads may grow meanwhile: rows are read in the order sessions, topics,
// partitions, journals, objects, so that whatever an earlier one claims must
// stand in a later one.
package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Options say what to read.
type Options struct {
	// Topic is the only topic to read, by name; empty: all, and what no row
	// names.
	Topic string
	// Started, if set, is called once it is known how many objects there are;
	// done tells how many were looked at and is safe for concurrent use.
	Started func(objects int64, done func() int64)
}

// ErrNoTopic is returned for a topic that the store does not have.
var ErrNoTopic = errors.New("no such topic")

// maxUnnamed bounds how many objects that no row names are listed.
const maxUnnamed = 1000

// Report counts what was checked.
type Report struct {
	Topics      int `json:"topics"`
	Sessions    int `json:"sessions"`
	Seals       int `json:"seals"`
	JournalRows int `json:"journal_rows"`
	Segments    int `json:"segments"`
	Batches     int `json:"batches"`
	// Bytes are those of all objects that were read; Records and States, the
	// producer states, those in them.
	Bytes   int64  `json:"bytes"`
	Records uint64 `json:"records"`
	States  int    `json:"states"`
	// Partitions are sorted by topic and partition.
	Partitions []Partition `json:"partitions"`
	// Unnamed are objects that no row names: second copies, PUTs that were never
	// committed, or are about to be, and producer states of earlier releases.
	// They are no faults. The first thousand are listed.
	Unnamed      []Unnamed `json:"unnamed"`
	UnnamedCount int       `json:"unnamed_count"`
	UnnamedBytes int64     `json:"unnamed_bytes"`
}

// Partition is what one partition's log holds.
type Partition struct {
	Topic     string `json:"topic"`
	Partition uint32 `json:"partition"`
	Start     uint64 `json:"start_offset"`
	End       uint64 `json:"end_offset"`
	// Digest is over the batches from First on, which is Start unless a batch
	// begins before it.
	First  uint64 `json:"-"`
	Digest Digest `json:"-"`
}

// Unnamed is an object that no row names.
type Unnamed struct {
	Key  string `json:"key"`
	Size int64  `json:"size"`
	// Sealed says that its session's journal is sealed: no row can name it any
	// more.
	Sealed bool `json:"sealed"`
}

// Run checks a store. It returns a *FaultError for the first
// thing that is wrong, in the order of sessions' starts and of their journals,
// and any other error where it could not read. The report counts what was
// checked so far.
func Run(ctx context.Context, rows meta.Store, objects objstore.Store, opts Options) (*Report, error) {
	v := &verifier{rows: rows, objects: objects, opts: opts, report: &Report{}, states: map[string][]*partition{}}
	err := v.run(ctx)
	for _, p := range v.sorted() {
		v.report.Partitions = append(v.report.Partitions, p.summary())
	}
	return v.report, err
}

// sorted lists the partitions by topic and number.
func (v *verifier) sorted() []*partition {
	return slices.SortedFunc(maps.Values(v.partitions), func(a, b *partition) int {
		return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.row.Partition, b.row.Partition))
	})
}

type verifier struct {
	rows    meta.Store
	objects objstore.Store
	opts    Options
	report  *Report
	done    atomic.Int64 // objects

	sessions   []*meta.Session
	topics     map[uint32]*meta.Topic
	partitions map[id]*partition
	states     map[string][]*partition // by the object that holds them
	folders    map[string]bool         // what the objects' keys begin with
}

// id names a partition.
type id struct{ topic, partition uint32 }

func (v *verifier) run(ctx context.Context) error {
	if err := v.readSessions(ctx); err != nil {
		return err
	}
	if err := v.readTopics(ctx); err != nil {
		return err
	}
	if err := v.readPartitions(ctx); err != nil {
		return err
	}
	if err := v.countObjects(ctx); err != nil {
		return err
	}
	for _, s := range v.journals() {
		if err := v.journal(ctx, s); err != nil {
			return err
		}
		v.report.Sessions++
	}
	if err := v.checkStates(ctx); err != nil {
		return err
	}
	return v.checkEnds()
}

func (v *verifier) readSessions(ctx context.Context) error {
	for row, err := range meta.Scan[*meta.Session](ctx, v.rows) {
		if err != nil {
			return fmt.Errorf("read sessions: %w", err)
		}
		v.sessions = append(v.sessions, row)
	}
	slices.SortFunc(v.sessions, func(a, b *meta.Session) int {
		return cmp.Or(cmp.Compare(a.StartedMillis, b.StartedMillis), strings.Compare(a.ID, b.ID))
	})
	return nil
}

func (v *verifier) readTopics(ctx context.Context) error {
	v.topics = map[uint32]*meta.Topic{}
	for row, err := range meta.Scan[*meta.Topic](ctx, v.rows) {
		if err != nil {
			return fmt.Errorf("read topics: %w", err)
		}
		if !row.Deleted && (v.opts.Topic == "" || v.opts.Topic == row.Name) {
			v.topics[row.ID] = row
		}
	}
	if v.opts.Topic != "" && len(v.topics) == 0 {
		return fmt.Errorf("topic %q: %w", v.opts.Topic, ErrNoTopic)
	}
	v.report.Topics = len(v.topics)
	return nil
}

// countObjects learns how much there is to do, and from which sessions.
func (v *verifier) countObjects(ctx context.Context) error {
	n := int64(0)
	v.folders = map[string]bool{}
	for object, err := range v.objects.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		folder, _, _ := strings.Cut(object.Key, "/")
		v.folders[folder] = true
		n++
	}
	if v.opts.Started != nil {
		v.opts.Started(n, v.done.Load)
	}
	return nil
}

// journals lists all sessions that anything knows of, those without a row last.
func (v *verifier) journals() []*meta.Session {
	list := slices.Clone(v.sessions)
	known := map[string]bool{}
	for _, s := range list {
		known[s.ID] = true
	}
	var others []string
	add := func(session string) {
		if session != "" && !known[session] {
			known[session] = true
			others = append(others, session)
		}
	}
	for _, p := range v.partitions {
		for _, t := range p.tenures {
			add(t.session)
		}
	}
	for folder := range v.folders {
		add(folder)
	}
	slices.Sort(others)
	for _, session := range others {
		list = append(list, &meta.Session{ID: session})
	}
	return list
}
