package cleanup

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// Sessions of the tests.
var (
	own  = strings.Repeat("a", 32)
	peer = strings.Repeat("b", 32) // another one
)

const grace = 5 * time.Minute

// world is a store whose content a test writes by hand.
type world struct {
	*testing.T
	rows    *memory.Rows
	objects *memory.Objects
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{T: t, rows: memory.NewRows(), objects: memory.NewObjects()}
}

func (w *world) create(rows ...meta.Row) {
	w.Helper()
	for _, row := range rows {
		if err := w.rows.Create(w.Context(), row); err != nil {
			w.Fatal(err)
		}
	}
}

// edit changes a row.
func edit[R meta.Row](w *world, row R, change func(R)) {
	w.Helper()
	if err := w.rows.Get(w.Context(), row); err != nil {
		w.Fatal(err)
	}
	change(row)
	if err := w.rows.Swap(w.Context(), row); err != nil {
		w.Fatal(err)
	}
}

func (w *world) put(keys ...string) {
	w.Helper()
	b := []byte("0123456789")
	for _, key := range keys {
		if err := w.objects.Put(w.Context(), key, objstore.Body{Parts: [][]byte{b}, Size: 10, CRC32C: segment.Update(0, b)}); err != nil {
			w.Fatal(err)
		}
	}
}

// key is that of a session's object with a number.
func key(session string, number uint64) string { return fmt.Sprintf("%s/%012d-x", session, number) }

func mergedKey(session string, number uint64) string {
	return compaction.Folder + key(session, number)
}

// commit writes a segment and the row that commits it, with a number of its seq.
func (w *world) commit(session string, seq uint64, commits ...journal.Commit) {
	w.Helper()
	w.put(key(session, seq))
	w.create(&meta.Entry{Session: session, Seq: seq, Segments: []meta.Segment{
		{Key: key(session, seq), Size: 10, Commits: journal.AppendCommits(nil, commits)},
	}})
}

// records are ten of a partition of topic 1.
func records(partition uint32, base uint64) journal.Commit {
	return journal.Commit{Topic: 1, Partition: partition, Epoch: 1, Base: base, Records: 10, Size: 10}
}

func (w *world) seal(session string, seq uint64) {
	w.Helper()
	w.create(&meta.Entry{Session: session, Seq: seq, Seal: true})
}

// merge notes and writes a merge, and its rows of the index.
func (w *world) merge(session string, number uint64, parts ...index.Part) {
	w.Helper()
	object := mergedKey(session, number)
	w.create(&meta.Merge{Session: session, Number: number, Object: object, Parts: index.AppendParts(nil, parts)})
	w.put(object)
	for _, p := range parts {
		w.create(&meta.Run{Log: meta.RunHash(p.Topic, p.Partition, p.Compaction), Last: p.End() - 1, Base: p.Base, Object: object, Size: 10})
	}
}

// run is a part with ten records of partition 0 of topic 1.
func run(compaction, base uint64) index.Part {
	return index.Part{Topic: 1, Compaction: compaction, Base: base, Records: 10}
}

// partition is a row of topic 1.
func partition(n uint32, owner string, end uint64, compactions ...meta.Compaction) *meta.Partition {
	return &meta.Partition{Topic: 1, Partition: n, Owner: owner, Epoch: 1, Checkpoint: meta.Checkpoint{End: end, Compactions: compactions}}
}

// content lists all rows and objects.
func (w *world) content() map[string]bool {
	w.Helper()
	all := map[string]bool{}
	for _, kind := range meta.Kinds() {
		for row, err := range w.rows.Scan(w.Context(), kind) {
			if err != nil {
				w.Fatal(err)
			}
			text := fmt.Sprintf("%s %s/%d", kind, row.Key().Hash, row.Key().Range)
			if t, ok := row.(*meta.Tombstone); ok && t.Cleaned {
				text += " cleaned"
			}
			all[short(text)] = true
		}
	}
	for object, err := range w.objects.List(w.Context(), "") {
		if err != nil {
			w.Fatal(err)
		}
		all[short("object "+object.Key)] = true
	}
	return all
}

// short writes sessions' ids as one letter, and numbers without zeros.
func short(text string) string {
	for _, id := range []string{own, peer} {
		text = strings.ReplaceAll(text, id, id[:1])
	}
	return zeros.ReplaceAllString(text, "$1")
}

var zeros = regexp.MustCompile(`0{4,}(\d)`)

// changes lists what is in before and not in after, and + what is new.
func changes(before, after map[string]bool) []string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(before)) {
		if !after[k] {
			all = append(all, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(after)) {
		if !before[k] {
			all = append(all, "+"+k)
		}
	}
	return all
}

// cleaner works on behalf of own. All objects with numbers below 100 are
// resolved, and no row is about to name any.
func (w *world) cleaner(opts Options) *Cleaner {
	return New(opts, Deps{
		Rows: w.rows, Objects: w.objects, Session: own,
		Horizon: func() uint64 { return 100 }, Keep: func(string) bool { return false },
	})
}

// must fails the test for an error of a pass.
func (w *world) must(r Report, err error) Report {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func (w *world) has(row meta.Row) bool {
	w.Helper()
	err := w.rows.Get(w.Context(), row)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		w.Fatal(err)
	}
	return err == nil
}
