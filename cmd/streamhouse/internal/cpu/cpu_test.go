package cpu

import (
	"hash/crc32"
	"testing"
	"time"
)

// A unit mistaken by a thousand would pass for a fast program.
func TestUsedFollowsBusyWork(t *testing.T) {
	before, start := Used(), time.Now()
	buf := make([]byte, 1<<20)
	for Used()-before < 50*time.Millisecond {
		crc32.ChecksumIEEE(buf)
		if time.Since(start) > 10*time.Second {
			t.Fatalf("ten busy seconds used only %v of processor time", Used()-before)
		}
	}
	if elapsed := time.Since(start); elapsed < 10*time.Millisecond {
		t.Errorf("50 ms of processor time in %v", elapsed)
	}
}
