package sim

import (
	"flag"
	"runtime/debug"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var (
	oneSeed = flag.Uint64("seed", 0, "play the history of this seed alone")
	repeat  = flag.Int("repeat", 1, "how often to play it")
	first   = flag.Uint64("first", 1, "the first seed")
	seeds   = flag.Uint64("seeds", 50, "how many seeds to play")
	share   = flag.Uint64("share", 1, "play every share-th seed only: for several processes")
)

func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400) // a history is small, and short-lived
	m.Run()
}

// TestSim plays histories. Run it in a process of one thread (GOMAXPROCS=1) to
// see a seed do the same again.
func TestSim(t *testing.T) {
	if *oneSeed != 0 {
		for range *repeat {
			check(t, *oneSeed)
		}
		return
	}
	began := time.Now()
	n := 0
	for seed := *first; seed < *first+*seeds; seed += *share {
		check(t, seed)
		n++
	}
	t.Logf("%d seeds, %.1f per second; retention let go of %d partitions' beginnings", n, float64(n)/time.Since(began).Seconds(), letGo.Load())
	if n >= 50 && letGo.Load() == 0 {
		t.Errorf("retention let nothing go: it was not tried")
	}
}

func violationsOf(t *testing.T, seed uint64) (violations []string) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	synctest.Test(t, func(t *testing.T) { violations = Play(t, seed) })
	return violations
}

// check plays one history and fails for what went wrong in it.
func check(t *testing.T, seed uint64) {
	t.Helper()
	violations := violationsOf(t, seed)
	const shown = 5
	for _, v := range violations[:min(shown, len(violations))] {
		t.Errorf("seed %d: %s", seed, v)
	}
	if len(violations) > 0 {
		t.Errorf("seed %d: %d violations; again with: go test ./sim -run TestSim -seed %d\n%v", seed, len(violations), seed, newPlot(seed))
	}
}
