package flush

import (
	"slices"
	"sync"
	"time"
)

// A PUT that takes long often takes very long, and since commits go in order,
// everything behind it waits too. So when one has taken longer than hedgeRank
// of the recent ones, a second copy is written under a key of its own, and the
// first to stand is committed. The other is cancelled; where it lands all the
// same, no row ever names it.
const (
	// hedgeRank is the share of PUTs that are quicker than those that get a
	// second copy.
	hedgeRank = 0.95
	// hedgeWindow is how many PUTs the rank is taken of, hedgeFirst how many
	// there must be before the first copy.
	hedgeWindow, hedgeFirst = 200, 50
	// hedgeEvery is how many PUTs pass between two looks at the window.
	hedgeEvery = 10
	// hedgeLeast is how long a PUT is given at least: a store that is quicker
	// has nothing to gain.
	hedgeLeast = 10 * time.Millisecond
	// hedgeBurst bounds the copies that were saved up: a store that becomes slow
	// as a whole is not asked for twice as much.
	hedgeBurst = 8
)

// hedger knows how long PUTs take, and how many copies may be written.
type hedger struct {
	budget float64 // copies per PUT

	mu     sync.Mutex
	recent []time.Duration // a ring of hedgeWindow
	seen   int
	after  time.Duration // when a copy is written; 0 while that is not known
	credit float64       // copies that may be written now
}

func newHedger(budget float64) *hedger { return &hedger{budget: budget} }

// begin counts a PUT and returns after how long it gets a copy; 0 is never.
func (h *hedger) begin() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.credit = min(h.credit+h.budget, hedgeBurst)
	return h.after
}

// spend tells whether a copy may be written.
func (h *hedger) spend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.credit < 1 {
		return false
	}
	h.credit--
	return true
}

// observe notes how long a PUT took; of one that lost to its copy, how long it
// was tried, which is more than after already and so does not move the rank.
func (h *hedger) observe(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.recent) < hedgeWindow {
		h.recent = append(h.recent, took)
	} else {
		h.recent[h.seen%hedgeWindow] = took
	}
	h.seen++
	if h.seen >= hedgeFirst && h.seen%hedgeEvery == 0 {
		sorted := slices.Sorted(slices.Values(h.recent))
		h.after = max(hedgeLeast, sorted[int(hedgeRank*float64(len(sorted)))])
	}
}
