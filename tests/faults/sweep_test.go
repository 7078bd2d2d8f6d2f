package faults

import (
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// sweepPlot is the story that the sweep goes through: an agent that drains
// while its clients send, one that is taken over while it runs, one that takes
// over and drains, and one that is read from.
func sweepPlot() plot {
	return plot{
		partitions: 3, clients: 2, every: 2 * time.Millisecond, patience: time.Minute, calm: true,
		options: []producer.Option{producer.WithLinger(10 * time.Millisecond), producer.WithBatchRecords(10)},
		lives: []life{
			{before: 8, after: 8},
			{before: 8, after: 8, zombie: true},
			{before: 8, after: 8},
			{reads: true},
		},
	}
}

// kind is one way in which the n-th operation of a store fails.
type kind struct {
	name  string
	rules func(n int) []string
	dies  bool
	reads bool // reads fail in that way too, and in no other
}

func once(how string) func(n int) []string {
	return func(n int) []string { return []string{rule("op=all,first=%d,%s", n, how)} }
}

// kinds: the pauses of late writes are for one that lands between the read that
// looks for it and the next try, and one that lands when another agent has
// taken over. The pause is longer than producers wait for their answers.
var kinds = []kind{
	{name: "lost request", reads: true, rules: once("kind=err-before")},
	{name: "lost reply", reads: true, rules: once("kind=err-after")},
	{name: "late", rules: once("kind=late,pause=3ms")},
	{name: "very late", rules: once("kind=late,pause=400ms")},
	{name: "slow", reads: true, rules: once("kind=pause,pause=6s")},
	{name: "killed before", dies: true, rules: func(n int) []string {
		return []string{rule("op=all,first=%d,every=1,kind=err-before", n)}
	}},
	{name: "killed after", dies: true, rules: func(n int) []string {
		return []string{rule("op=all,first=%d,kind=err-after", n), rule("op=all,first=%d,every=1,kind=err-before", n+1)}
	}},
}

// quiet is how many N in a row have to find no operation before the sweep is
// over: the number of flushes differs a little from run to run.
const quiet = 3

// Every store operation of every agent of a story fails once, in every way. No
// acknowledged record may be lost, doubled, moved or swapped, and since the
// agents and the producers try again, none may stay without acknowledgement.
func TestEveryOperationFailsOnce(t *testing.T) {
	t.Parallel()
	for number, l := range sweepPlot().lives {
		for _, k := range kinds {
			if l.reads && !k.reads {
				continue
			}
			t.Run(rule("life %d/%s", number, k.name), func(t *testing.T) {
				t.Parallel()
				sweep(t, number, k)
			})
		}
	}
}

func sweep(t *testing.T, number int, k kind) {
	t.Helper()
	covered := 0
	for n, missed := 1, 0; missed < quiet; n += share {
		p := sweepPlot()
		l := &p.lives[number]
		l.rules, l.dies = k.rules(n), k.dies
		play(t, p, func(s *story) {
			s.allAcked()
			missed++
			if s.agents[number].InjectedFaults() > 0 {
				covered, missed = n, 0
			}
		})
		if t.Failed() {
			t.Fatalf("with operation %d of agent %d: %s", n, number, k.name)
		}
	}
	t.Logf("%d operations", covered)
	if covered < 10 {
		t.Errorf("only %d operations failed: the story is too short to prove anything", covered)
	}
}
