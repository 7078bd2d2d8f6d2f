package producer

import (
	"sync"
	"sync/atomic"
	"time"
)

// budget bounds how many batches are sent again for some cause: a share of
// those that are sent the first time, and some per second besides, for who
// sends little. It is a purse that both fill and what is sent again empties. It
// may go into debt, for what a cause takes is known only afterwards.
type budget struct {
	fresh     *atomic.Uint64 // batches sent the first time
	ratio     float64        // what each of them brings
	perSecond float64

	mu struct {
		sync.Mutex
		purse     float64
		seenFresh uint64
		seenAt    time.Time
	}
}

const (
	// budgetSeconds is how many seconds' worth of its rate a budget holds at
	// first, and owes at most: nobody waits longer for it.
	budgetSeconds = 10
	// budgetBatches is how many batches' worth of its ratio it can save up
	// besides: some windows of a producer at full speed.
	budgetBatches = 5000
)

// newBudget returns nil, which is no budget, for a rate of 0.
func newBudget(fresh *atomic.Uint64, ratio, perSecond float64) *budget {
	if perSecond == 0 {
		return nil
	}
	b := &budget{fresh: fresh, ratio: ratio, perSecond: perSecond}
	b.mu.purse = perSecond * budgetSeconds
	b.mu.seenAt = time.Now()
	return b
}

// spend takes n batches from the purse, and returns what it then lacks: 0, or
// the time in which it is filled again if nothing is sent meanwhile. A nil
// budget lacks nothing.
func (b *budget) spend(n int) time.Duration {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fillLocked()
	b.mu.purse = max(b.mu.purse-float64(n), -b.perSecond*budgetSeconds)
	return b.lackLocked()
}

// trySpend takes n from a purse that is not empty. Only then it may be left in
// debt.
func (b *budget) trySpend(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fillLocked()
	if b.mu.purse < 1 {
		return false
	}
	b.mu.purse -= float64(n)
	return true
}

func (b *budget) fillLocked() {
	fresh, now := b.fresh.Load(), time.Now()
	b.mu.purse += b.ratio*float64(fresh-b.mu.seenFresh) + b.perSecond*now.Sub(b.mu.seenAt).Seconds()
	b.mu.purse = min(b.mu.purse, b.perSecond*budgetSeconds+b.ratio*budgetBatches)
	b.mu.seenFresh, b.mu.seenAt = fresh, now
}

func (b *budget) lackLocked() time.Duration {
	if b.mu.purse >= 0 {
		return 0
	}
	return time.Duration(-b.mu.purse / b.perSecond * float64(time.Second))
}
