package journal

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// The tail is found from wherever it is known to be behind, with few reads.
func TestTail(t *testing.T) {
	for length := range uint64(70) {
		rows := memory.NewRows()
		for seq := range length {
			if err := rows.Create(t.Context(), &meta.Entry{Session: "s", Seq: seq}); err != nil {
				t.Fatal(err)
			}
		}
		for from := range length + 1 {
			counter := faults.New(faults.Plan{})
			tail, err := Tail(t.Context(), counter.Rows(rows), "s", from)
			if err != nil || tail != length {
				t.Fatalf("from %d: the tail of %d rows is %d, %v", from, length, tail, err)
			}
			if n := counter.Ops()[faults.RowGet] + counter.Ops()[faults.RowQuery]; n > 16 || from == length && n != 1 {
				t.Errorf("from %d: found the tail of %d rows in %d reads", from, length, n)
			}
		}
	}
}

// A journal that was trimmed has its tail where it had it before: whoever takes it
// for empty would not see it move, and would seal it in front of its rows.
func TestTailOfTrimmed(t *testing.T) {
	rows := memory.NewRows()
	for seq := uint64(30); seq < 40; seq++ {
		if err := rows.Create(t.Context(), &meta.Entry{Session: "s", Seq: seq}); err != nil {
			t.Fatal(err)
		}
	}
	for from := range uint64(41) {
		if tail, err := Tail(t.Context(), rows, "s", from); err != nil || tail != 40 {
			t.Errorf("from %d: the tail is %d, %v", from, tail, err)
		}
		if at, err := Seal(t.Context(), rows, "s", "x", from); err != nil || at != 40 {
			t.Fatalf("from %d: sealed at %d, %v", from, at, err)
		}
		if err := rows.Delete(t.Context(), &meta.Entry{Header: meta.Header{Version: 1}, Session: "s", Seq: 40}); err != nil {
			t.Fatal(err)
		}
	}
}

// A session that lives and commits again and again is sealed all the same: a
// sealer that lost a race tries the next seq at once. It waited longer and
// longer, and lost to every commit in between.
func TestSealBusyJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := memory.NewRows()
		ended := make(chan error)
		go func() {
			slow := faults.New(faults.Plan{Seed: 1, Commit: faults.Latency{P50: 4 * time.Millisecond, P99: 10 * time.Millisecond}})
			w := NewWriter(slow.Rows(rows), "s")
			for i := 0; ; i++ {
				if err := w.Append(t.Context(), segments(segmentOf(i))); err != nil {
					ended <- err
					return
				}
				time.Sleep(10 * time.Millisecond) // for its segment
			}
		}()
		time.Sleep(10 * time.Second)
		began := time.Now()
		slow := faults.New(faults.Plan{
			Seed: 2, Read: faults.Latency{P50: 4 * time.Millisecond, P99: 10 * time.Millisecond},
			Commit: faults.Latency{P50: 4 * time.Millisecond, P99: 10 * time.Millisecond},
		})
		if _, err := Seal(t.Context(), slow.Rows(rows), "s", "x", 0); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("sealed after %s", took)
		}
		if err := <-ended; !errors.Is(err, ErrFenced) {
			t.Errorf("the writer ended with %v", err)
		}
	})
}
