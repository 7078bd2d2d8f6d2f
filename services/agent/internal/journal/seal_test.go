package journal_test

import (
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Who watched a journal knows rows that include the seal of an earlier try. It
// must find that seal instead of setting another behind it.
func TestSealIsFoundAgain(t *testing.T) {
	rows := memory.NewRows()
	w := journal.NewWriter(rows, "old")
	if err := w.Append(t.Context(), []meta.Segment{{Key: "old/0"}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		from, err := journal.Tail(t.Context(), rows, "old", 0)
		if err != nil {
			t.Fatal(err)
		}
		end, err := journal.Seal(t.Context(), rows, "old", "new", from)
		if err != nil || end != 1 {
			t.Errorf("sealed at %d (%v), want 1", end, err)
		}
	}
	if end, err := journal.Tail(t.Context(), rows, "old", 0); err != nil || end != 2 {
		t.Errorf("the journal has %d rows (%v), want 2", end, err)
	}
}
