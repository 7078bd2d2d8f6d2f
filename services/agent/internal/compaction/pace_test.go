package compaction

import (
	"testing"
	"testing/synctest"
	"time"
)

// Reads are spread over time, however many ask at once, and while too much waits
// they are not.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		took := func(size, perSecond int64) time.Duration {
			t.Helper()
			began := time.Now()
			if err := p.wait(t.Context(), size, perSecond); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		sum := time.Duration(0)
		for range 11 {
			sum += took(1<<20, 4<<20)
		}
		if want := 10 * time.Second / 4; sum != want {
			t.Errorf("11 MiB at 4 MiB/s take %s, want %s", sum, want)
		}
		p.hurry(true)
		if d := took(1<<30, 4<<20); d != 0 {
			t.Errorf("in a hurry there is a wait of %s", d)
		}
		p.hurry(false)
		if d := took(1, 4<<20); d != time.Second/4 {
			t.Errorf("what came before is forgotten: a wait of %s", d)
		}
		time.Sleep(time.Minute)
		if d := took(1<<20, 0) + took(1<<20, 4<<20); d != 0 {
			t.Errorf("after a rest there is a wait of %s", d)
		}
	})
}
