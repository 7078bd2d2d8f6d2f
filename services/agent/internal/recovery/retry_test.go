package recovery

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// A read that fails now and then costs a moment: it made the whole takeover
// begin anew.
func TestReadsAreRetried(t *testing.T) {
	for _, kind := range []faults.Kind{faults.ErrBefore, faults.ErrAfter} {
		for _, op := range []faults.Op{faults.Get, faults.RowQuery} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				for i := range uint64(8) {
					w.commit(sessionA, part{epoch: 1, base: 2 * i, batches: [][]byte{encode(7, i, 2)}})
				}
				w.seal(sessionA)
				network := faults.New(faults.Plan{Rules: []faults.Rule{{Op: op, First: 1, Every: 2, Kind: kind}}})
				began := time.Now()
				found, err := Run(t.Context(), network.Rows(w.rows), network.Objects(w.objects),
					[]*meta.Partition{{Topic: 1, Owner: sessionA, Epoch: 1}})
				if err != nil || found[0].Err != nil || found[0].End != 16 || len(found[0].Ranges) != 8 || found[0].EndSeq != 8 {
					t.Errorf("%s %s: %+v, %v", kind, op, found[0], err)
				}
				if network.Injected() == 0 || time.Since(began) > time.Second {
					t.Errorf("%s %s: %d faults, took %s", kind, op, network.Injected(), time.Since(began))
				}
			})
		}
	}
}

// What is damaged in one partition keeps no other from being recovered: an
// object that is gone, and rows that contradict each other.
func TestDamageIsContained(t *testing.T) {
	w := newWorld(t)
	w.commit(sessionA, part{partition: 0, epoch: 1, batches: [][]byte{encode(1, 0, 1)}})
	lost, size, commits := w.put(sessionA, part{partition: 1, epoch: 1, batches: [][]byte{encode(1, 0, 1)}})
	w.row(&meta.Entry{Session: sessionA, Segments: []meta.Segment{{Key: lost, Size: size, Commits: journal.AppendCommits(nil, commits)}}})
	w.commit(sessionA, part{partition: 2, epoch: 1, base: 5, batches: [][]byte{encode(1, 0, 1)}})
	w.seal(sessionA)
	w.commit(sessionB, part{partition: 3, epoch: 1, batches: [][]byte{encode(1, 0, 1)}})
	w.seal(sessionB)
	if err := w.objects.Delete(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	rows := []*meta.Partition{
		{Topic: 1, Partition: 0, Owner: sessionA, Epoch: 1},
		{Topic: 1, Partition: 1, Owner: sessionA, Epoch: 1},
		{Topic: 1, Partition: 2, Owner: sessionA, Epoch: 1},
		{Topic: 1, Partition: 3, Owner: sessionB, Epoch: 1},
	}
	found, err := Run(t.Context(), w.rows, w.objects, rows)
	if err != nil {
		t.Fatal(err)
	}
	for i, bad := range []bool{false, true, true, false} {
		if p := found[i]; (p.Err != nil) != bad || !bad && p.End != 1 {
			t.Errorf("partition %d: %+v", i, p)
		}
	}
	if !errors.Is(found[2].Err, journal.ErrCorrupt) {
		t.Errorf("a gap: %v", found[2].Err)
	}
}

// A tenure that ended by a release is read to its end and no further: its
// session may live, and commit on.
func TestReadsNoFurther(t *testing.T) {
	w := newWorld(t)
	for i := range uint64(4) {
		w.commit(sessionA, part{epoch: 1, base: i, batches: [][]byte{encode(1, i, 1)}})
	}
	w.row(&meta.Entry{Session: sessionA, Segments: []meta.Segment{{Key: "x", Commits: []byte{0xff}}}}) // of no concern
	p := w.must(&meta.Partition{Epoch: 1, Start: 4, Tenures: []meta.Tenure{{Session: sessionA, Epoch: 1, End: 4, EndSeq: 4}}})
	if p.End != 4 || len(p.Ranges) != 4 {
		t.Errorf("recovered %+v", p)
	}
}
