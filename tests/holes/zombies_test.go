package holes

import (
	"fmt"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

// A commit is under way while another agent takes over: it comes too late, and
// nobody may be told that it succeeded.
// Broken to see it fail: a journal row that exists counted as the session's own.
func TestHole10_LateCommitDoesNotCount(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Start(world.Faults(fmt.Sprintf("op=row-create,first=%d,kind=pause,pause=3s", journalRow+1)))
		w.MustCreateTopic(1)
		p := quick(w)
		send(w, p, 0, 1)
		flush(w, p)
		send(w, p, 0, 1) // its commit is on its way for 3 s
		time.Sleep(100 * time.Millisecond)
		second := w.Start()
		if got := end(w); got != 1 {
			w.Errorf("the new owner's log ends at %d, want 1: the commit on its way is none", got)
		}
		flush(w, p)
		if err := second.Stop(); err != nil {
			w.Logf("the second agent, which may have lost its session: %v", err)
		}
		closeAndCheck(w, p)
	})
}

// Two processes are configured alike, name and all.
// Broken to see it fail: the session's id was the agent's name.
func TestHole11_OneNameIsStillTwoSessions(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Start()
		w.MustCreateTopic(1)
		toFirst := w.Dial()
		calls := streamhousev1.NewProducerServiceClient(toFirst)
		if _, err := produce(w.Context(), calls, 0, 0, 1, 10); err != nil {
			w.Fatal(err)
		}
		one := w.Stats().GetSession()
		w.Start()
		if two := w.Stats().GetSession(); one == two {
			w.Errorf("both processes are session %s", one)
		}
		if _, err := produce(w.Context(), calls, 0, 0, 1, 10); !refused(err, reason.Fenced) {
			w.Errorf("the older process took a record: %v", err)
		}
		if got := end(w); got != 1 {
			w.Errorf("the log ends at %d, want 1", got)
		}
	})
}

// The store takes everything but heartbeats. The owner stops by its own clock,
// counted from before its last renewal was sent, with a margin; no clock of
// another machine has a say.
// Broken to see it fail: a lease never ended.
func TestHole12_LeaseEndsByTheOwnersOwnClock(t *testing.T) {
	inWorld(t, func(w *world.World) {
		w.Start(world.Faults("op=row-swap,first=2,every=1,kind=err-before")) // the first counts topics
		w.MustCreateTopic(1)
		calls := streamhousev1.NewProducerServiceClient(w.Dial())
		time.Sleep(world.Lease * 3 / 4)
		if _, err := produce(w.Context(), calls, 0, 0, 1, 10); err != nil {
			w.Errorf("within the lease: %v", err)
		}
		time.Sleep(world.Lease / 4)
		if _, err := produce(w.Context(), calls, 0, 0, 1, 10); !refused(err, reason.LeaseExpired) {
			w.Errorf("when the lease is over for everybody else: %v", err)
		}
	})
}
