package host

import (
	"context"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
)

var chaosSeeds = flag.Int("chaos-seeds", 15, "how many histories TestChaos tries")

// Agents crash, leave, join, lose each other and lose what they send to the
// store, in random histories under load. No record is lost, doubled or swapped,
// and soon after the faults stop everything is owned again, evenly.
func TestChaos(t *testing.T) {
	for seed := range *chaosSeeds {
		synctest.Test(t, func(t *testing.T) { chaos(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func chaos(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 9))
	c := newCluster(t, 8)
	defer c.stopAll()
	var hosts []*node
	for range 3 {
		hosts = append(hosts, c.start(unreliable(r)))
	}
	c.balanced(2 * time.Minute)
	l := c.load(100 * time.Millisecond)
	for range 6 {
		time.Sleep(time.Duration(r.IntN(15_000)) * time.Millisecond)
		i := r.IntN(len(hosts))
		switch r.IntN(4) {
		case 0:
			c.stop(hosts[i])
			hosts[i] = c.start(unreliable(r))
		case 1:
			c.leave(hosts[i], r)
			hosts[i] = c.start(unreliable(r))
		case 2:
			c.mu.Lock()
			c.cut = !c.cut
			c.mu.Unlock()
		case 3:
			hosts[i].network.Disarm()
		}
		hosts = c.revive(hosts, r)
	}
	c.mu.Lock()
	c.cut = false
	c.mu.Unlock()
	for _, n := range hosts {
		n.network.Disarm()
	}
	time.Sleep(2 * clusterLease)
	hosts = c.revive(hosts, r)
	for _, n := range hosts {
		n.network.Disarm()
	}
	c.balanced(3 * clusterLease)
	l.check(c)
	if written := l.writers[0].seq; written < 20 {
		t.Errorf("seed %d: only %d batches were written: it proves nothing", seed, written)
	}
}

// unreliable is a network that loses some of what passes through it.
func unreliable(r *rand.Rand) faults.Plan {
	plan := seeded(int(r.Uint32()))
	for _, kind := range []faults.Rule{
		{Kind: faults.ErrBefore},
		{Kind: faults.ErrAfter},
		{Kind: faults.Late, Pause: time.Duration(1 + r.IntN(int(5*time.Second)))},
		{Kind: faults.Pause, Pause: time.Duration(1 + r.IntN(int(15*time.Second)))},
	} {
		kind.First, kind.Every = 20+r.Uint64N(100), 10+r.Uint64N(300)
		if kind.Kind == faults.Pause {
			kind.Every *= 4
		}
		plan.Rules = append(plan.Rules, kind)
	}
	return plan
}

// leave drains a host, with little patience: a drain that fails is a crash.
func (c *cluster) leave(n *node, r *rand.Rand) {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Duration(r.IntN(20_000))*time.Millisecond)
	defer cancel()
	_ = n.Leave(ctx) // either way, it ends now
	c.stop(n)
}

// revive starts another host for each that found its session sealed.
func (c *cluster) revive(hosts []*node, r *rand.Rand) []*node {
	c.t.Helper()
	hosts = slices.Clone(hosts)
	for i, n := range hosts {
		if len(n.ended) == 0 {
			continue
		}
		c.stop(n)
		hosts[i] = c.start(unreliable(r))
	}
	return hosts
}
