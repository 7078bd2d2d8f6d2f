package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTimeIsRightWhileUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		for range 100 {
			if late := time.Now().UnixMilli() - c.UnixMilli(); late < 0 || late > 2 {
				t.Fatalf("clock is %d ms late", late)
			}
			time.Sleep(300 * time.Microsecond)
		}
	})
}

// The bug this catches: the first record after a pause gets the time of the
// last one before it.
func TestTimeIsRightAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		c.UnixMilli()
		time.Sleep(time.Hour)
		if got, want := c.UnixMilli(), time.Now().UnixMilli(); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}

// An idle application must not be woken a thousand times a second.
func TestIdleClockStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		c.UnixMilli()
		c.UnixMilli()
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.mu.running || c.now.Load() != 0 {
			t.Fatal("the clock ticks though nobody asks")
		}
	})
}

func TestReadingDoesNotAllocate(t *testing.T) {
	var c Clock
	c.UnixMilli()
	if n := testing.AllocsPerRun(1000, func() { c.UnixMilli() }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkUnixMilli(b *testing.B) {
	var c Clock
	for b.Loop() {
		c.UnixMilli()
	}
}
