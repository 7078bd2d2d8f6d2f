package host

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/members"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

func quantile(all []time.Duration, q float64) time.Duration {
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// seeded is slowStore with latencies of its own.
func seeded(n int) faults.Plan {
	p := slowStore
	p.Seed = uint64(n)
	return p
}

// An owner that is killed under load: everything it owned is written to
// elsewhere within the lease and two seconds, retries are recognised, and
// nothing is lost (issue: crash).
func TestCrashUnderLoad(t *testing.T) {
	var all []time.Duration
	for round := range 10 {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 24)
			defer c.stopAll()
			hosts := []*node{c.start(seeded(3 * round)), c.start(seeded(3*round + 1)), c.start(seeded(3*round + 2))}
			c.balanced(time.Minute)
			l := c.load(10 * time.Millisecond)
			time.Sleep(10*time.Second + time.Duration(round)*311*time.Millisecond)
			l.reset()
			c.stop(hosts[round%3])
			time.Sleep(clusterLease + 2*time.Second)
			gaps := l.gaps()
			all = append(all, gaps...)
			if worst := slices.Max(gaps); worst > clusterLease+2*time.Second || worst < clusterLease-clusterHeartbeat {
				t.Errorf("round %d: a partition could not be written to for %s", round, worst)
			}
			l.check(c)
		})
	}
	t.Logf("write gap of all partitions, p50 %s, max %s", quantile(all, 0.5), slices.Max(all))
}

// A joining agent gets its share, handed over partition by partition, each
// without a noticeable gap; the world goes on.
func TestJoinUnderLoad(t *testing.T) {
	var all []time.Duration
	for round := range 10 {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, 48)
			defer c.stopAll()
			c.start(seeded(3 * round))
			c.start(seeded(3*round + 1))
			c.balanced(time.Minute)
			l := c.load(10 * time.Millisecond)
			time.Sleep(5 * time.Second)
			l.reset()
			joined := c.start(seeded(3*round + 2))
			if took := c.balanced(time.Minute); took > 20*time.Second {
				t.Errorf("balanced after %s", took)
			}
			gaps := l.gaps()
			moved := map[uint32]bool{}
			for _, own := range joined.Pipeline.Tenures() {
				moved[own.Partition] = true
			}
			for p, gap := range gaps {
				if moved[uint32(p)] {
					all = append(all, gap)
				}
			}
			l.check(c)
		})
	}
	t.Logf("write gap of %d handed over, p50 %s, p99 %s, max %s", len(all), quantile(all, 0.5), quantile(all, 0.99), slices.Max(all))
	if p99 := quantile(all, 0.99); p99 > time.Second {
		t.Errorf("the gap at a hand-off is %s", p99)
	}
}

// A rolling restart: each agent in turn drains and another comes. Every
// partition goes to its next owner directly, and Owner names it.
func TestRollingRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 48)
		defer c.stopAll()
		hosts := []*node{c.start(seeded(1)), c.start(seeded(2)), c.start(seeded(3))}
		c.balanced(time.Minute)
		l := c.load(10 * time.Millisecond)
		var all []time.Duration
		for i, n := range hosts {
			time.Sleep(5 * time.Second)
			l.reset()
			held := n.Pipeline.Tenures()
			began := time.Now()
			if err := n.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			for _, own := range held {
				next := n.Owner(own.ID)
				if owner := c.owner(own.ID); next == nil || owner == nil || owner.Session.ID != next.ID {
					t.Errorf("%v went to %v, not to %v", own.ID, owner, next)
				}
			}
			c.stop(n)
			gaps := l.gaps()
			all = append(all, gaps...)
			t.Logf("drained %d partitions in %s; write gap max %s", len(held), took, slices.Max(gaps))
			c.start(seeded(10 + i))
		}
		if p99 := quantile(all, 0.99); p99 > time.Second {
			t.Errorf("the write gap in a rolling restart is %s", p99)
		}
		c.balanced(time.Minute)
		l.check(c)
	})
}

// When no agent can be told anything, all is found in the store: an agent that
// leaves gives back, others poll; one that joins waits, for nothing is taken
// from who serves.
func TestNoWires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 24)
		defer c.stopAll()
		c.cut = true
		first, second := c.start(seeded(1)), c.start(seeded(2))
		c.balanced(time.Minute)
		l := c.load(10 * time.Millisecond)
		time.Sleep(3 * time.Second)
		if err := first.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.stop(first)
		if took := c.balanced(time.Minute); took > 3*clusterHeartbeat {
			t.Errorf("found after %s", took)
		}
		if second.Pipeline.Tenure(flush.ID{Topic: c.topic.ID}) == nil {
			t.Error("the last agent does not own everything")
		}
		l.check(c)
	})
}

// The table for heartbeats refuses everybody: nobody serves for longer than its
// own lease, nobody seals anybody, and all go on when it works again (R8).
func TestHeartbeatsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 12)
		defer c.stopAll()
		var hosts []*node
		for range 3 {
			hosts = append(hosts, c.start(faults.Plan{Rules: []faults.Rule{{Op: faults.RowSwap, First: 40, Every: 1, Kind: faults.ErrBefore}}}))
		}
		c.balanced(time.Minute)
		time.Sleep(5 * time.Minute)
		for _, n := range hosts {
			if err := n.Session.Valid(time.Now()); !errors.Is(err, reason.LeaseExpired) {
				t.Errorf("a session without heartbeats: %v", err)
			}
			for _, own := range n.Pipeline.Tenures() {
				if err := n.Pipeline.Append(own.ID, encode(1, 0, 1), make(waiting, 1), 0); !errors.Is(err, reason.LeaseExpired) {
					t.Errorf("appended with %v", err)
				}
			}
			n.network.Disarm()
		}
		time.Sleep(time.Minute)
		for _, n := range hosts {
			if err := n.Session.Valid(time.Now()); err != nil || len(n.ended) > 0 {
				t.Errorf("with the store back: %v", err)
			}
		}
		c.balanced(time.Minute)
	})
}

// Whoever stood still, or could not reach the store, after it had judged another
// one dead does not act on that: much may have happened since (R8).
func TestOldJudgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.stopAll()
		n := c.start(faults.Plan{Rules: []faults.Rule{{Op: faults.RowSwap, First: 20, Every: 1, Kind: faults.ErrBefore}}})
		c.balanced(time.Minute)
		judged := n.planned()
		judged = &plan{members: judged.members, view: &members.View{Dead: []members.Dead{
			{Session: &meta.Session{ID: "dead"}, Since: time.Now().Add(-clusterLease)},
		}}}
		if dead, _ := n.myTurn(judged); len(dead) != 1 {
			t.Errorf("%d sessions are to be sealed, want 1", len(dead))
		}
		for n.network.Injected() == 0 {
			time.Sleep(time.Second)
		}
		time.Sleep(3 * clusterHeartbeat)
		if dead, _ := n.myTurn(judged); len(dead) != 0 {
			t.Errorf("%d sessions are to be sealed by one whose own heartbeats do not arrive", len(dead))
		}
	})
}

// looked counts how often somebody asks whether it goes on, and ends that.
type looked struct {
	context.Context
	times int
}

func (l *looked) Err() error {
	if l.times++; l.times > 100 {
		return context.Canceled
	}
	return l.Context.Err()
}

// An agent that leaves looks for an owner of each partition among those that are
// left, and gives up where its plan knows of none: the topic came later.
func TestLeavesWhatNobodyPlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.stopAll()
		leaves := c.start(seeded(1))
		c.start(seeded(2))
		c.balanced(time.Minute)
		ctx := &looked{Context: t.Context()}
		leaves.tellOthers(ctx, []flush.ID{{Topic: c.topic.ID + 1}}, nil)
		if ctx.times > 5 {
			t.Errorf("it looked %d times", ctx.times)
		}
	})
}

// One agent is cut off from the store and from the others: its partitions are
// served elsewhere, and when it is back it finds itself sealed (R7).
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 12)
		defer c.stopAll()
		lost := c.start(faults.Plan{Rules: []faults.Rule{{First: 400, Every: 1, Kind: faults.ErrBefore}}})
		c.start(seeded(2))
		c.start(seeded(3))
		c.balanced(time.Minute)
		for lost.network.Injected() == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		c.mu.Lock()
		lost.paused = true
		delete(c.hosts, lost.Session.ID)
		c.mu.Unlock()
		if took := c.balanced(time.Minute); took > clusterLease+clusterHeartbeat {
			t.Errorf("served elsewhere after %s", took)
		}
		if err := lost.Session.Valid(time.Now()); !errors.Is(err, reason.LeaseExpired) {
			t.Errorf("cut off: %v", err)
		}
		lost.network.Disarm()
		if err := <-lost.ended; !Finished(err) {
			t.Errorf("back again, it ended with %v", err)
		}
		lost.network.Wait()
	})
}

// Many agents see one die at the same time: one of them seals it.
func TestOneChallenger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 60)
		defer c.stopAll()
		var hosts []*node
		for i := range 6 {
			hosts = append(hosts, c.start(seeded(i)))
		}
		c.balanced(time.Minute)
		time.Sleep(time.Minute)
		c.stop(hosts[0])
		before := map[*node]uint64{}
		for _, n := range hosts[1:] {
			before[n] = n.network.Ops()[faults.RowCreate]
		}
		c.balanced(time.Minute)
		sealers := 0
		for _, n := range hosts[1:] {
			if n.network.Ops()[faults.RowCreate] > before[n] {
				sealers++
			}
		}
		if sealers != 1 {
			t.Errorf("%d agents tried to seal the dead one", sealers)
		}
		seal := &meta.Entry{Session: hosts[0].Session.ID}
		if err := c.rows.Get(t.Context(), seal); err != nil || !seal.Seal {
			t.Errorf("the seal is %+v, %v", seal, err)
		}
	})
}

// A partition whose objects are gone keeps none of the others from being taken
// over, and the agent is ready all the same.
func TestDamagedPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 8)
		defer c.stopAll()
		n := c.start(faults.Plan{})
		c.balanced(time.Minute)
		bad := flush.ID{Topic: c.topic.ID, Partition: 3}
		w := &writer{c: c, partition: 3}
		if !w.once(bad) {
			t.Fatal("not written")
		}
		for info, err := range c.objects.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if err := c.objects.Delete(t.Context(), info.Key); err != nil {
				t.Fatal(err)
			}
		}
		c.stop(n)
		next := c.start(faults.Plan{})
		time.Sleep(clusterLease + clusterHeartbeat)
		select {
		case <-next.Settled():
		default:
			t.Error("not settled")
		}
		if held := len(next.Pipeline.Tenures()); held != 7 || next.Pipeline.Tenure(bad) != nil {
			t.Errorf("%d of 7 healthy partitions are served", held)
		}
		if n := next.Unowned(); n != 1 {
			t.Errorf("%d partitions are said to have no owner", n)
		}
		gets := next.network.Ops()[faults.Get]
		time.Sleep(time.Hour)
		if n := next.network.Ops()[faults.Get] - gets; n > 200 {
			t.Errorf("the damaged partition cost %d reads in an hour", n)
		}
	})
}

// Topics that appear while the cluster runs are served by all of it, and Await
// returns when they are.
func TestTopicAppears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 12)
		defer c.stopAll()
		first := c.start(seeded(1))
		c.start(seeded(2))
		c.start(seeded(3))
		c.balanced(time.Minute)
		added, err := first.deps.Catalog.Create(t.Context(), "u", 30)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := first.Await(ctx, added); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("served after %s", took)
		}
		for p := range added.Partitions {
			if c.owner(flush.ID{Topic: added.ID, Partition: p}) == nil {
				t.Errorf("nobody owns partition %d", p)
			}
		}
	})
}

// What an idle agent costs in a cluster: a heartbeat, a look at the sessions and
// at the topics, and hardly anything else.
func TestIdleCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 24)
		defer c.stopAll()
		n := c.start(faults.Plan{})
		c.start(faults.Plan{})
		c.start(faults.Plan{})
		c.balanced(time.Minute)
		time.Sleep(time.Minute)
		before := n.network.Ops()
		time.Sleep(time.Hour)
		after := n.network.Ops()
		for op, most := range map[faults.Op]uint64{faults.RowSwap: 1801, faults.RowQuery: 7600, faults.RowCreate: 0, faults.RowGet: 0, faults.Put: 0, faults.Get: 0} {
			if spent := after[op] - before[op]; spent > most {
				t.Errorf("an hour cost %d of %s, want at most %d", spent, op, most)
			} else {
				t.Logf("an hour costs %d of %s", spent, op)
			}
		}
	})
}
