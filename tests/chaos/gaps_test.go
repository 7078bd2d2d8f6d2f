package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

const (
	gapPartitions = 24
	// gapEvery is how often a record is sent to each partition.
	gapEvery = 10 * time.Millisecond
	// idleTime is for how long requests of an idle cluster are counted: strays
	// are looked for every ten seconds.
	idleTime = 2 * time.Minute
)

// TestGaps measures, with the agents' default settings, for how long a
// partition takes no writes when its owner drains, joins or is killed, as a
// producer sees it that never waits for more records; and what idle agents ask
// of their store. Its figures are those of docs/performance.md; `task
// chaos:gaps` runs it.
func TestGaps(t *testing.T) {
	if *gaps == 0 {
		t.Skip("it measures, for which -gaps says how many rounds")
	}
	keepLogs(t)
	c := newCluster(t, agents)
	c.nodes[0].CreateTopic("idle", gapPartitions)
	c.settled(t, patience)
	countIdle(t, c)
	var drained, joined, killed, quiet []time.Duration
	for round := range *gaps {
		topic := fmt.Sprint("gaps-", round)
		c.nodes[0].CreateTopic(topic, gapPartitions)
		c.settled(t, patience)
		l := startLoad(t, c.target(), topic, gapPartitions, 1, gapEvery, producer.WithLinger(0))
		n := c.nodes[round%len(c.nodes)]
		l.served(t, time.Now(), patience)
		quiet = append(quiet, moved(t, c, l, topic, func() { time.Sleep(2 * time.Second) }, true)...)
		drained = append(drained, moved(t, c, l, topic, func() {
			if code := n.Terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		}, false)...)
		joined = append(joined, moved(t, c, l, topic, func() { n.start(t); c.settled(t, patience) }, false)...)
		killed = append(killed, moved(t, c, l, topic, func() { n.Kill() }, false)...)
		n.start(t)
		c.settled(t, patience)
		if failed := l.failed(); failed > 0 {
			t.Errorf("round %d: %d records failed", round, failed)
		}
		l.verify(t, c)
		l.stop()
		c.deleteTopic(topic)
		if t.Failed() {
			return
		}
	}
	report(t, "nothing happens", quiet)
	report(t, "drain", drained)
	report(t, "join", joined)
	report(t, "kill -9", killed)
}

// moved returns the longest time without acknowledgements of each partition that
// changed its owner in an event, or of all.
func moved(t *testing.T, c *cluster, l *load, topic string, event func(), all bool) []time.Duration {
	t.Helper()
	before := epochs(t, c, topic)
	l.watch()
	event()
	l.served(t, time.Now(), time.Minute)
	var found []time.Duration
	after := epochs(t, c, topic)
	for partition, gap := range l.gaps() {
		if all || after[partition] != before[partition] {
			found = append(found, gap)
		}
	}
	return found
}

// epochs are those of a topic's partitions, from whichever agent answers.
func epochs(t *testing.T, c *cluster, topic string) []uint64 {
	t.Helper()
	for _, n := range c.nodes {
		found, err := n.client.Topics.DescribeTopic(t.Context(), &streamhousev1.DescribeTopicRequest{Name: topic})
		if err != nil {
			continue
		}
		all := make([]uint64, gapPartitions)
		for _, p := range found.GetPartitions() {
			all[p.GetPartition()] = p.GetEpoch()
		}
		return all
	}
	t.Fatal("no agent answers")
	return nil
}

func report(t *testing.T, what string, all []time.Duration) {
	t.Helper()
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))].Round(time.Millisecond) }
	t.Logf("%-16s %4d partitions: p50 %s, p99 %s, max %s", what, len(all), at(0.5), at(0.99), at(1))
}

// countIdle counts what idle agents ask of their store.
func countIdle(t *testing.T, c *cluster) {
	t.Helper()
	requests := func(n *node) (reads, writes uint64) {
		stats, err := n.client.Agent.GetStats(t.Context(), &streamhousev1.GetStatsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return stats.GetStoreRequests()["read"], stats.GetStoreRequests()["write"]
	}
	var reads, writes uint64
	for _, n := range c.nodes {
		r, w := requests(n)
		reads, writes = reads-r, writes-w
	}
	time.Sleep(idleTime)
	for _, n := range c.nodes {
		r, w := requests(n)
		reads, writes = reads+r, writes+w
	}
	perHour := float64(time.Hour) / float64(idleTime) / float64(len(c.nodes))
	t.Logf("idle: %.0f reads and %.0f writes per agent and hour", float64(reads)*perHour, float64(writes)*perHour)
}
