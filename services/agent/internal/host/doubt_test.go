package host

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// An agent's rows land late, when the plan has given half of the partitions to
// another one. It serves what it won, and hands it over. They stayed without
// service for as long as it lived: the rows named it, and it did not know.
func TestWonUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 16)
		defer c.stopAll()
		late := c.start(faults.Plan{Rules: []faults.Rule{
			{Op: faults.RowCreate, First: 2, Every: 1, Kind: faults.Late, Pause: 1500 * time.Millisecond},
		}})
		time.Sleep(100 * time.Millisecond)
		other := c.start(faults.Plan{Rules: []faults.Rule{{Op: faults.RowCreate, First: 2, Every: 1, Kind: faults.ErrBefore}}})
		time.Sleep(1800 * time.Millisecond)
		for p := range c.topic.Partitions {
			row := c.row(p)
			if row.Owner != late.Session.ID {
				t.Fatalf("partition %d belongs to %q: the test proves nothing", p, row.Owner)
			}
		}
		late.network.Disarm()
		other.network.Disarm()
		if took := c.balanced(time.Minute); took > 5*time.Second {
			t.Errorf("served after %s", took)
		}
	})
}

// A session that is gone, its row as well, may win a partition with a request that
// lands late. Nobody could take it: the row named an owner whom nobody knew.
func TestWonByForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.stopAll()
		c.start(faults.Plan{})
		if took := c.balanced(time.Minute); took > 20*time.Second {
			t.Fatalf("served after %s", took)
		}
		c.stopAll()
		row := c.row(2)
		row.Owner, row.Epoch = "00000000000000000000000000000000", row.Epoch+1
		if err := c.rows.Swap(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		if err := c.rows.Create(t.Context(), &meta.Entry{Session: row.Owner, Seal: true}); err != nil {
			t.Fatal(err)
		}
		c.start(faults.Plan{})
		if took := c.balanced(time.Minute); took > 20*time.Second {
			t.Errorf("served after %s", took)
		}
	})
}
