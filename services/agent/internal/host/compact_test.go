package host

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/cleanup"
	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
	"github.com/streamhouse/streamhouse/services/agent/internal/verify"
)

var often = compaction.Options{Bytes: 1 << 20, Age: time.Second, Memory: 1 << 20}

var always = CleanupOptions{Interval: 500 * time.Millisecond, Options: cleanup.Options{Grace: time.Second, ListEvery: 3, SweepEvery: 5}}

// partitionRow reads the row of partition 0.
func (w *world) partitionRow() *meta.Partition {
	w.t.Helper()
	row := &meta.Partition{Topic: w.topic.ID}
	if err := w.rows.Get(w.t.Context(), row); err != nil {
		w.t.Fatal(err)
	}
	return row
}

// What was merged reads as before, restarts find it, producers' retries are known,
// and neither a restart nor memory holds what the checkpoint covers.
func TestCompaction(t *testing.T) {
	for name, stop := range map[string]func(*testing.T, *running){
		"crash": func(_ *testing.T, r *running) { r.crash() },
		"leave": func(t *testing.T, r *running) {
			t.Helper()
			r.leave(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				w.compaction, w.cleanup = often, always
				next := uint64(0)
				for round := range uint64(4) {
					r := w.start()
					for i := range uint64(6) {
						seq := round*6 + i
						mustProduce(t, r, w, encode(7, seq, 3), next)
						next += 3
						if i == 3 {
							time.Sleep(2 * time.Second)
							if tail := r.Pipeline.Tenure(flush.ID{Topic: w.topic.ID}).Index.Tail(); len(tail.Ranges) > 0 || tail.Checkpoint.End != next {
								t.Fatalf("%d ranges are not merged, the checkpoint is at %d, want %d", len(tail.Ranges), tail.Checkpoint.End, next)
							}
							checkAll(t, r, w, next)
						}
					}
					mustProduce(t, r, w, encode(7, round*3, 3), round*9)
					checkAll(t, r, w, next)
					stop(t, r)
				}
				r := w.start()
				defer r.crash()
				checkAll(t, r, w, next)
				if _, err := r.produce(0, w.topic, encode(8, 3, 1)); !errors.Is(err, reason.UnknownProducer) {
					t.Errorf("a stranger's fourth batch: %v", err)
				}
				mustProduce(t, r, w, encode(7, 1, 3), 3)
				if row := w.partitionRow(); len(row.Tenures) > 1 || len(row.Checkpoint.Compactions) != 4 {
					t.Errorf("the row names the tenures %v and the checkpoint %v", row.Tenures, row.Checkpoint)
				}
			})
		})
	}
}

// A takeover reads no more of a journal than what was written since the
// checkpoint, and no footers of before.
func TestTakeoverAfterCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := faults.New(faults.Plan{})
		rows, objects := memory.NewRows(), memory.NewObjects()
		w := worldOn(t, counter.Objects(objects), counter.Rows(rows), 1)
		w.compaction = often
		r := w.start()
		for seq := range uint64(100) {
			mustProduce(t, r, w, encode(7, seq, 3), 3*seq)
		}
		time.Sleep(2 * time.Second)
		mustProduce(t, r, w, encode(7, 100, 3), 300)
		r.crash()
		if row := w.partitionRow(); row.FirstSeq < 99 {
			t.Errorf("the tenure's commits are looked for from row %d on", row.FirstSeq)
		}
		before := counter.Ops()[faults.Get]
		r = w.start()
		defer r.crash()
		if gets := counter.Ops()[faults.Get] - before; gets > 2 {
			t.Errorf("the takeover read %d objects", gets)
		}
		mustProduce(t, r, w, encode(7, 100, 3), 300)
		mustProduce(t, r, w, encode(7, 101, 3), 303)
	})
}

// Every request of a compaction may fail, before its effect or after it, again and
// again: nothing is lost or read twice, and it gets there.
func TestCompactionUnderFaults(t *testing.T) {
	for _, kind := range []faults.Kind{faults.ErrBefore, faults.ErrAfter} {
		for every := uint64(3); every < 30; every++ {
			synctest.Test(t, func(t *testing.T) {
				rows, objects := memory.NewRows(), memory.NewObjects()
				injector := faults.New(faults.Plan{Seed: every, Rules: []faults.Rule{{
					Op: faults.Put | faults.Get | faults.RowCreate | faults.RowGet | faults.RowSwap | faults.RowQuery |
						faults.List | faults.Delete | faults.RowDelete, Every: every, Kind: kind,
				}}})
				w := worldOn(t, objects, rows, 2)
				w.objects, w.rows = injector.Objects(objects), injector.Rows(rows)
				w.compaction, w.cleanup = often, always
				injector.Disarm()
				r := w.start()
				injector.Arm()
				for seq := range uint64(30) {
					mustProduce(t, r, w, encode(7, seq, 3), 3*seq)
					time.Sleep(200 * time.Millisecond)
				}
				time.Sleep(time.Minute)
				tail := r.Pipeline.Tenure(flush.ID{Topic: w.topic.ID}).Index.Tail()
				if tail.Checkpoint.End != 90 {
					t.Errorf("%v, every %d: the checkpoint is at %d, want 90", kind, every, tail.Checkpoint.End)
				}
				r.crash()
				w.objects, w.rows = objects, rows
				r = w.start()
				defer r.crash()
				checkAll(t, r, w, 90)
				mustProduce(t, r, w, encode(7, 29, 3), 87)
				if _, err := verify.Run(t.Context(), rows, objects, verify.Options{}); err != nil {
					t.Errorf("%v, every %d: %v", kind, every, err)
				}
			})
		}
	}
}

// A batch that is in flight when a segment with the producers' state is sealed, and
// is merged before that segment commits, is known after a crash: its retry is not
// appended.
func TestStateInFlightOverCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		injector := faults.New(faults.Plan{Rules: []faults.Rule{
			{Op: faults.Put, First: 1, Kind: faults.Pause, Pause: 200 * time.Millisecond},
			{Op: faults.Put, First: 2, Kind: faults.Pause, Pause: 8 * time.Second},
		}})
		w := worldOn(t, injector.Objects(memory.NewObjects()), injector.Rows(memory.NewRows()), 1)
		w.compaction = often
		r := w.start()
		id := flush.ID{Topic: w.topic.ID}
		first, second := make(waiting, 1), make(waiting, 1)
		if err := r.Pipeline.Append(id, encode(7, 0, 3), first, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // it is on its way
		if err := r.Pipeline.Append(id, encode(8, 0, 3), second, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if got, end := <-first, r.Pipeline.Tenure(id).Index.Tail().Checkpoint.End; got.err != nil || end != 3 {
			t.Fatalf("the first batch got %v, and the checkpoint is at %d", got, end)
		}
		if got := <-second; got.err != nil || got.base != 3 {
			t.Fatalf("the second batch got %v", got)
		}
		r.crash()
		r = w.start()
		defer r.crash()
		mustProduce(t, r, w, encode(7, 0, 3), 0)
		mustProduce(t, r, w, encode(8, 0, 3), 3)
		mustProduce(t, r, w, encode(7, 1, 3), 6)
	})
}

// Batches that a disk has damaged are not merged: the checkpoint stays in front of
// them, and the others go on.
func TestDamageIsNotMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		r := w.start()
		mustProduce(t, r, w, encode(7, 0, 3), 0)
		if _, err := r.produce(1, w.topic, encode(8, 0, 3)); err != nil {
			t.Fatal(err)
		}
		r.crash()
		w.damage(0)
		w.compaction = often
		r = w.start()
		defer r.crash()
		time.Sleep(time.Minute)
		for p, want := range []uint64{0, 3} {
			if tail := r.Pipeline.Tenure(flush.ID{Topic: w.topic.ID, Partition: uint32(p)}).Index.Tail(); tail.Checkpoint.End != want {
				t.Errorf("the checkpoint of partition %d is at %d, want %d", p, tail.Checkpoint.End, want)
			}
		}
	})
}

// damage flips a bit in the first batch of the segment that holds partition 0's
// first record.
func (w *world) damage(partition uint32) {
	w.t.Helper()
	for row, err := range meta.Scan[*meta.Entry](w.t.Context(), w.rows) {
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range row.Segments {
			b, err := w.objects.Get(w.t.Context(), s.Key, 0, -1)
			if err != nil {
				w.t.Fatal(err)
			}
			f, err := segment.Verify(b)
			if err != nil || len(f.Sections) != 1 || f.Sections[0].Partition != partition {
				continue
			}
			b[segment.HeaderSize+20] ^= 1
			if err := errors.Join(w.objects.Delete(w.t.Context(), s.Key), w.objects.Put(w.t.Context(), s.Key, bodyOf(b))); err != nil {
				w.t.Fatal(err)
			}
			return
		}
	}
	w.t.Fatal("there is nothing to damage")
}

// A session that died is finished, and what it left removed, where no topic is left
// whose partitions could be missed.
func TestDeadWithoutTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		r := w.start()
		mustProduce(t, r, w, encode(7, 0, 3), 0)
		if _, err := w.catalog.Delete(t.Context(), w.topic.Name, nil); err != nil {
			t.Fatal(err)
		}
		r.crash()
		w.cleanup = always
		next := w.run()
		defer next.crash()
		time.Sleep(20 * always.Interval)
		for info, err := range w.objects.List(t.Context(), "") {
			t.Errorf("there is still %s, or %v", info.Key, err)
		}
		if err := w.rows.Get(t.Context(), &meta.Session{ID: r.Session.ID}); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("the session's row: %v", err)
		}
	})
}

// What an idle session wrote of producers' states, and no row came to name, is
// removed: there need not be another flush.
func TestUnnamedStatesOfAnIdleSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cleanup = always
		r := w.start()
		defer r.crash()
		mustProduce(t, r, w, encode(7, 0, 3), 0)
		states, err := owner{r.Host}.PutStates(t.Context(), r.Pipeline.Tenures())
		if err != nil {
			t.Fatal(err)
		}
		wait := 2*always.Grace + 2*time.Duration(always.ListEvery)*always.Interval
		time.Sleep(wait)
		if _, err := w.objects.Get(t.Context(), states.Key, 0, 1); err != nil {
			t.Fatalf("what a row may be about to name: %v", err)
		}
		states.Forget()
		time.Sleep(wait)
		if _, err := w.objects.Get(t.Context(), states.Key, 0, 1); !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("the states are still there: %v", err)
		}
	})
}

// Retention moves the log start over what is old, or more than is kept, never
// back, and never into what is not merged.
func TestRetention(t *testing.T) {
	for name, settings := range map[string]meta.Topic{
		"time": {RetentionMillis: 10_000},
		"size": {RetentionBytes: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				w.compaction, w.cleanup = often, always
				w.topic.RetentionMillis, w.topic.RetentionBytes = settings.RetentionMillis, settings.RetentionBytes
				if err := w.rows.Swap(t.Context(), w.topic); err != nil {
					t.Fatal(err)
				}
				r := w.start()
				last := uint64(0)
				for seq := range uint64(60) {
					mustProduce(t, r, w, encode(7, seq, 3), 3*seq)
					time.Sleep(500 * time.Millisecond)
					start, end := r.Pipeline.Tenure(flush.ID{Topic: w.topic.ID}).Index.Bounds()
					if start < last || start > w.partitionRow().Checkpoint.End {
						t.Fatalf("the log start moved from %d to %d", last, start)
					}
					if seq < 10 && start > 0 && name == "time" {
						t.Errorf("records of %d s ago are gone", seq/2)
					}
					if end-start > 100 {
						t.Errorf("the log has %d to %d", start, end)
					}
					last = start
				}
				if _, err := r.Pipeline.Tenure(flush.ID{Topic: w.topic.ID}).Index.Find(t.Context(), last-1, 1); err == nil || !strings.Contains(err.Error(), "out of range") {
					t.Errorf("a record that was let go is read with %v", err)
				}
				r.crash()
				r = w.start()
				defer r.crash()
				if start, _ := r.Pipeline.Tenure(flush.ID{Topic: w.topic.ID}).Index.Bounds(); start < last || start == 0 {
					t.Errorf("after a restart the log begins at %d, and before at %d", start, last)
				}
			})
		})
	}
}

func bodyOf(b []byte) objstore.Body {
	return objstore.Body{Parts: [][]byte{b}, Size: int64(len(b)), CRC32C: segment.Update(0, b)}
}
