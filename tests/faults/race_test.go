//go:build race

package faults

import (
	"runtime"
	"testing"
)

// The race detector makes everything some ten times slower: it gets a share of
// the sweep and of the seeds.
const share = 20

// TestMain keeps the detector from crashing, not from finding races: it uses
// one context for all timers of a bubble, and two threads that run timers of
// one bubble at the same moment end in "CHECK failed" (golang/go#78156).
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	m.Run()
}
