//go:build race

package holes

import (
	"runtime"
	"testing"
)

// TestMain keeps the detector from crashing, not from finding races: see
// package faults.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	m.Run()
}
