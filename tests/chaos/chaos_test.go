package chaos

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	agents     = 3
	producers  = 4
	partitions = 12
	// sendEvery is how often each producer sends to each partition.
	sendEvery = 40 * time.Millisecond
	// roundsPerTopic is after how many rounds the log is read and another one
	// begun, so that reading it takes no longer than what happens to it.
	roundsPerTopic = 10
	// patience is how long the cluster may take to settle after a round: a
	// session that begins has to watch the others for a lease.
	patience = 30 * time.Second
)

// Agents of one cluster are killed, stopped for longer than their leases,
// drained and cut off, from the store, each other, and their clients, while
// producers with default settings send. Every acknowledged record is there
// exactly once, in order, at its offset; what failed as not done is not;
// partitions are served again in time; and no record fails.
func TestChaos(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d: task chaos -- --rounds %d --seed %d --heartbeat %s --lease %s", *seed, *rounds, *seed, *heartbeat, *lease)
	keepLogs(t)
	c := newCluster(t, agents, "--session-heartbeat="+heartbeat.String(), "--session-lease="+lease.String())
	rng := rand.New(rand.NewPCG(*seed, 0))
	longest := map[string][]time.Duration{}
	for round := 0; round < *rounds; {
		topic := fmt.Sprint("chaos-", round)
		c.nodes[0].CreateTopic(topic, partitions)
		l := startLoad(t, c.target(), topic, partitions, producers, sendEvery)
		for range min(roundsPerTopic, *rounds-round) {
			ev := draw(rng)
			if *only != "" {
				ev = named(t, *only)
			}
			runRound(t, c, l, rng, round, ev, longest)
			if t.Failed() {
				t.Fatalf("round %d failed: seed %d", round, *seed)
			}
			round++
		}
		l.verify(t, c)
		l.stop()
		c.deleteTopic(topic)
		if t.Failed() {
			t.Fatalf("the log is wrong after round %d: seed %d", round-1, *seed)
		}
	}
	c.verify()
	for _, name := range slices.Sorted(maps.Keys(longest)) {
		all := longest[name]
		slices.Sort(all)
		t.Logf("%-14s %3d rounds, longest gap: p50 %s, max %s", name, len(all), all[len(all)/2], all[len(all)-1])
	}
}

func keepLogs(t *testing.T) {
	t.Helper()
	if *logs != "" {
		if err := os.MkdirAll(*logs, 0o750); err != nil {
			t.Fatal(err)
		}
	}
}

// runRound lets one event happen to a settled cluster.
func runRound(t *testing.T, c *cluster, l *load, rng *rand.Rand, round int, ev event, longest map[string][]time.Duration) {
	t.Helper()
	c.settled(t, *lease+patience)
	lot := rng.Perm(len(c.nodes))
	e := &episode{cluster: c, rng: rng, a: c.nodes[lot[0]], b: c.nodes[lot[1]]}
	failed, began := l.failed(), time.Now()
	l.watch()
	ev.run(e)
	l.served(t, time.Now(), time.Minute)
	all := l.gaps()
	gap := slices.Max(all).Round(time.Millisecond)
	longest[ev.name] = append(longest[ev.name], gap)
	t.Logf("round %d at %s: %s (%s): gap %s", round, began.Format("15:04:05.000"), ev.name, strings.Join(e.story, " "), gap)
	if bound := ev.bound() + e.longer; gap > bound {
		t.Errorf("partition %d was not served for %s, longer than %s", slices.Index(all, slices.Max(all)), gap, bound)
	}
	if more := l.failed() - failed; more > 0 {
		t.Errorf("%d records failed: %v", more, l.history.Counts())
	}
}
