package progress

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Output that is not a terminal must get whole lines and no control
// characters, and nothing at all from a command that is quick.
func TestPlainLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var done atomic.Int64
		stop := Watch(&out, "produce", 2_000_000, done.Load)
		time.Sleep(lineInterval - time.Millisecond)
		synctest.Wait()
		if out.Len() != 0 {
			t.Errorf("a line too early: %q", out.String())
		}
		done.Store(1_500_000)
		time.Sleep(2 * time.Millisecond)
		stop()
		if got, want := out.String(), "produce: 1,500,000 of 2,000,000\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		stop() // again is harmless
	})
}

func TestUnknownTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		stop := Watch(&out, "produce", 0, func() int64 { return 42 })
		time.Sleep(lineInterval + time.Millisecond)
		stop()
		if got, want := out.String(), "produce: 42\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
