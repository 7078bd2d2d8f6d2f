package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// restless agents merge and clean up all the time.
var restless = []string{
	"--compaction-age=300ms", "--compaction-bytes=64KiB", "--compaction-memory-bytes=128KiB",
	"--cleanup-interval=100ms", "--cleanup-grace=200ms",
}

// roundsPerMerged is short, so that kills also hit the removal of topics.
const roundsPerMerged = 3

// An agent is killed, under load, at random moments of merges and of removals, and
// starts again on what it left: after each of them the store is as the protocol
// has it, and the log what producers were told.
func TestCompaction(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d: task chaos:compaction -- --rounds %d --seed %d", *seed, *rounds, *seed)
	keepLogs(t)
	t.Run("files", func(t *testing.T) { killAlone(t, rand.New(rand.NewPCG(*seed, 1))) })
	t.Run("cluster", func(t *testing.T) { killOneOf(t, rand.New(rand.NewPCG(*seed, 2))) })
}

// killAlone kills an agent that has its folder alone.
func killAlone(t *testing.T, rng *rand.Rand) {
	t.Helper()
	c := newAlone(t, append(restless, "--flush-max-per-second=50")...)
	var sum leftovers
	inTopics(t, c, func(l *load) {
		time.Sleep(time.Duration(100+rng.IntN(1000)) * time.Millisecond)
		c.nodes[0].Kill()
		sum.add(t, c.nodes[0].Succeed("verify", "--store-dir", c.nodes[0].Dir, "--output", "json"))
		c.nodes[0].start(t)
		l.served(t, time.Now(), time.Minute)
	})
	sum.check(t)
	swept(t, func() string { // an agent has its folder alone
		time.Sleep(time.Second)
		c.nodes[0].Kill()
		defer c.nodes[0].start(t)
		return c.nodes[0].Succeed("verify", "--store-dir", c.nodes[0].Dir, "--output", "json")
	})
}

// killOneOf kills an agent of several, whose partitions the others take over, with
// what it had begun.
func killOneOf(t *testing.T, rng *rand.Rand) {
	t.Helper()
	c := newCluster(t, agents, append(restless, "--flush-max-per-second=50",
		"--session-heartbeat=300ms", "--session-lease=1500ms")...)
	var sum leftovers
	inTopics(t, c, func(l *load) {
		n := c.nodes[rng.IntN(len(c.nodes))]
		time.Sleep(time.Duration(100+rng.IntN(1000)) * time.Millisecond)
		n.Kill()
		// The others verify while they work, and perhaps take over.
		sum.add(t, c.verify("--output", "json"))
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
		n.start(t)
		l.served(t, time.Now(), time.Minute)
	})
	sum.check(t)
	swept(t, func() string { return c.verify("--output", "json") })
}

// inTopics runs rounds under load, each of which ends with the log being read, and
// goes over to another topic now and then, so that deleted ones are removed as
// well.
func inTopics(t *testing.T, c *cluster, run func(l *load)) {
	t.Helper()
	for round := 0; round < *rounds; {
		topic := fmt.Sprint("merged-", round)
		c.nodes[0].CreateTopic(topic, partitions)
		l := startLoad(t, c.target(), topic, partitions, producers, sendEvery)
		for range min(roundsPerMerged, *rounds-round) {
			run(l)
			l.verify(t, c)
			if failed := l.failed(); failed > 0 {
				t.Errorf("%d records failed: %v", failed, l.history.Counts())
			}
			if t.Failed() {
				t.Fatalf("round %d failed: seed %d", round, *seed)
			}
			round++
		}
		l.stop()
		c.deleteTopic(topic)
	}
}

// leftovers is what kills left, over all rounds: whether they hit anything.
type leftovers struct {
	rounds, merged, unnamed int
}

// add reads what verify tells of the store after a kill.
func (s *leftovers) add(t *testing.T, report string) {
	t.Helper()
	found := parse(t, report)
	s.rounds++
	if found.Merged > 0 {
		s.merged++
	}
	if found.Unnamed > 0 {
		s.unnamed++
	}
}

// contents is what verify finds in a store.
type contents struct {
	Segments int
	Journal  int `json:"journal_rows"`
	Merged   int `json:"merged_objects"`
	Unnamed  int `json:"unnamed_count"`
	List     []struct {
		Key    string
		Sealed bool
	} `json:"unnamed"`
}

func parse(t *testing.T, report string) contents {
	t.Helper()
	var found struct {
		OK    bool
		Store contents
	}
	if err := json.Unmarshal([]byte(report), &found); err != nil || !found.OK {
		t.Fatalf("verify says %s: %v", report, err)
	}
	return found.Store
}

// swept requires that what the kills, and deleted topics, left is removed.
func swept(t *testing.T, look func() string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		found := parse(t, look())
		if found.Segments == 0 && found.Merged == 0 && found.Unnamed == 0 {
			t.Logf("all is removed %s after the last topic was deleted; rows of the journal: %d", time.Since(began).Round(time.Millisecond), found.Journal)
			return
		}
		if time.Since(began) > sweepPatience {
			t.Fatalf("after %s there is still %+v", sweepPatience, found)
		}
	}
}

// sweepPatience is enough for what takes several passes of clean-up.
const sweepPatience = time.Minute

// check requires that the kills had something to hit.
func (s *leftovers) check(t *testing.T) {
	t.Helper()
	t.Logf("%d kills: after %d there were merged objects, after %d some that no row named", s.rounds, s.merged, s.unnamed)
	if s.merged < (s.rounds+1)/2 {
		t.Errorf("after %d of %d kills nothing was merged: there was nothing to hit", s.rounds-s.merged, s.rounds)
	}
}
