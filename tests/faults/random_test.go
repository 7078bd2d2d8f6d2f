package faults

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/services/agent"
	"github.com/streamhouse/streamhouse/tests/faults/world"
)

var (
	oneSeed  = flag.Uint64("seed", 0, "run the random history of this seed alone")
	allSeeds = flag.Uint64("seeds", 240/share, "how many random histories to run")
)

// Random settings, stores that fail at random, and agents that drain, die or
// are taken over at random. A producer may be told that a record failed, but
// never anything wrong.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	const workers = 4
	if *oneSeed != 0 {
		playSeed(t, *oneSeed)
		return
	}
	for worker := range uint64(workers) {
		t.Run(rule("worker %d", worker), func(t *testing.T) {
			t.Parallel()
			for seed := 1 + worker; seed <= *allSeeds; seed += workers {
				playSeed(t, seed)
			}
		})
	}
}

func playSeed(t *testing.T, seed uint64) {
	t.Helper()
	d := dice{rand.New(rand.NewPCG(seed, 0))}
	p := d.plot(seed)
	defer func() { // a bubble ends with panics too
		if t.Failed() {
			t.Fatalf("run it again with -run TestRandomHistories -args -seed %d\nthe plot was %+v", seed, p)
		}
	}()
	play(t, p, nil)
}

// dice draw a plot.
type dice struct{ *rand.Rand }

// ms draws a duration from 1 to n milliseconds, small ones more often.
func (d dice) ms(n int) time.Duration {
	return time.Duration(1+d.IntN(1+d.IntN(n))) * time.Millisecond
}

func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

func (d dice) plot(seed uint64) plot {
	p := plot{
		partitions: 1 + uint32(d.IntN(5)), clients: 1 + d.IntN(3), every: d.ms(6), patience: d.ms(10_000),
		options: []producer.Option{
			producer.WithLinger(d.ms(30)), producer.WithBatchRecords(1 + d.IntN(20)),
			producer.WithMaxInFlight(1 + d.IntN(128)), producer.WithConnections(1 + d.IntN(2)),
			producer.WithCompression([]producer.Codec{producer.NoCompression, producer.S2}[d.IntN(2)]),
			producer.WithRequestTimeout(5*time.Second + d.ms(20_000)),
		},
	}
	for range 1 + d.IntN(5) {
		p.lives = append(p.lives, d.life(seed))
	}
	return p
}

func (d dice) life(seed uint64) life {
	l := life{before: d.IntN(30), after: d.IntN(30), zombie: d.chance(40), reads: d.chance(20), dies: d.chance(30)}
	if l.dies {
		l.rules = []string{rule("op=all,first=%d,every=1,kind=err-before", 1+d.IntN(80))}
		l.reads = false
	}
	for !l.dies && len(l.rules) < 3 && d.chance(70) {
		l.rules = append(l.rules, d.rule())
	}
	latencies := []string{"", "", "1ms", "5ms/40ms", "30ms/300ms"}
	put, commit := latencies[d.IntN(len(latencies))], latencies[d.IntN(len(latencies))]
	l.edits = []world.Edit{func(c *agent.Config) {
		c.Store.FaultSeed, c.Store.PutLatency, c.Store.CommitLatency = seed, put, commit
	}}
	return l
}

// rule draws one that fails once, now and then, or often.
func (d dice) rule() string {
	ops := []string{"put", "get", "row-create", "row-get", "row-swap", "row-query"}
	d.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	op := strings.Join(ops[:1+d.IntN(len(ops))], "+")
	kind := []string{"err-before", "err-after", "late", "pause"}[d.IntN(4)]
	every := []int{0, 2 + d.IntN(4), 5 + d.IntN(40)}[d.IntN(3)]
	return rule("op=%s,first=%d,every=%d,kind=%s,pause=%s", op, 1+d.IntN(60), every, kind, d.ms(8000))
}
