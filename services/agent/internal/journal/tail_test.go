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
			if n := counter.Ops()[faults.RowGet]; n > 14 || from == length && n != 1 {
				t.Errorf("from %d: found the tail of %d rows in %d reads", from, length, n)
			}
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
