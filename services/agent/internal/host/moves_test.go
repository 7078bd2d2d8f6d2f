package host

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

func (n *node) moves() map[string]uint64 {
	counts, _ := n.deps.Counters.(*stats.Stats)
	return counts.LeaseMoves()
}

// What is counted as moved is what moved, and how.
func TestLeaseMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 24)
		defer c.stopAll()
		want := func(n *node, acquired, takenOver, handedOver uint64) {
			t.Helper()
			all := map[string]uint64{"acquired": acquired, "taken_over": takenOver, "handed_over": handedOver}
			if got := n.moves(); !maps.Equal(got, all) {
				t.Errorf("counted %v, and these moved: %v", got, all)
			}
			if held := len(n.Pipeline.Tenures()); held != int(acquired+takenOver-handedOver) {
				t.Errorf("%d partitions are held after %v", held, all)
			}
		}
		first := c.start(seeded(1))
		c.balanced(time.Minute)
		want(first, 24, 0, 0)

		second := c.start(seeded(2))
		c.balanced(time.Minute)
		time.Sleep(clusterLease) // whatever is under way is done
		moved := uint64(len(second.Pipeline.Tenures()))
		want(first, 24, 0, moved)
		want(second, moved, 0, 0)

		c.stop(second)
		time.Sleep(clusterLease + 2*time.Second)
		c.balanced(time.Minute)
		want(first, 24, moved, moved)

		if err := first.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		want(first, 24, moved, 24+moved)
	})
}
