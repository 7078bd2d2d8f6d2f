// Package verify reads a store end to end and holds what it finds against the
// commit protocol: every partition's row and index, every session's journal, and
// every object that these name. It writes nothing.
//
// What it reads may change meanwhile: rows are read in the order sessions, topics,
// partitions, index, journals, and each before the objects that it names, so that
// whatever an earlier one claims must stand in a later one. What is missing there
// may have been removed since; then the partition's row, read again, tells.
package verify

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Run checks a store. It returns a *FaultError for the first thing that is wrong:
// of the index first, in the order of topics and partitions, then of the journals,
// in the order of sessions' starts. It returns any other error where it could not
// read. The report counts what was checked so far.
func Run(ctx context.Context, rows meta.Store, objects objstore.Store, opts Options) (*Report, error) {
	v := newVerifier(rows, objects, opts)
	err := v.run(ctx)
	for _, p := range v.sorted() {
		if !p.gone {
			v.report.Partitions = append(v.report.Partitions, p.summary())
		}
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
	folders    map[string]bool         // the sessions of the objects' keys
	sealed     map[string]bool         // the sessions' journals

	merged      map[string]int64 // the merged objects that were there, and their size
	read        map[string]bool  // those that index rows name, once they are read
	expected    map[string][]run // what index rows say of objects, by key
	waiting     int              // runs of expected
	maxExpected int
}

func newVerifier(rows meta.Store, objects objstore.Store, opts Options) *verifier {
	return &verifier{
		rows: rows, objects: objects, opts: opts, report: &Report{}, maxExpected: maxExpected,
		states: map[string][]*partition{}, sealed: map[string]bool{}, read: map[string]bool{}, expected: map[string][]run{},
	}
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
	if err := v.walkIndex(ctx); err != nil {
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
	if err := v.checkEnds(ctx); err != nil {
		return err
	}
	return v.checkMerges(ctx)
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
	v.folders, v.merged = map[string]bool{}, map[string]int64{}
	for object, err := range v.objects.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		folder, rest, _ := strings.Cut(object.Key, "/")
		if folder == mergedFolder {
			v.merged[object.Key] = object.Size
			folder, _, _ = strings.Cut(rest, "/")
		}
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
