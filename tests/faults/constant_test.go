package faults

import (
	"testing"

	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// Every third, fifth or seventh write fails, all the time, or every so many of
// all operations: rarely enough that a takeover, which begins anew after a
// read that failed, gets through. Agents keep what they could not write, so
// everything is acknowledged in the end.
func TestOperationsFailAllTheTime(t *testing.T) {
	t.Parallel()
	kinds := []string{"kind=err-before", "kind=err-after", "kind=late,pause=7ms", "kind=late,pause=900ms"}
	for _, k := range kinds {
		for _, some := range []string{
			"op=put+row-create+row-swap,first=3,every=3", "op=put+row-create+row-swap,first=5,every=5",
			"op=put+row-create+row-swap,first=7,every=7", "op=all,first=29,every=29", "op=all,first=37,every=37",
		} {
			t.Run(rule("%s,%s", some, k), func(t *testing.T) {
				t.Parallel()
				failAllTheTime(t, rule("%s,%s", some, k))
			})
		}
	}
}

func failAllTheTime(t *testing.T, failing string) {
	t.Helper()
	p := sweepPlot()
	for i := range p.lives {
		p.lives[i].rules = []string{failing}
	}
	play(t, p, func(s *story) {
		s.allAcked()
		if n := faults(s.agents); n < 2 {
			s.Errorf("only %d faults: the story proves nothing", n)
		}
	})
}

func faults(agents []*world.Agent) (n uint64) {
	for _, a := range agents {
		n += a.InjectedFaults()
	}
	return n
}
