// Package clock tells the time to the millisecond, cheaply. time.Now takes
// longer than encoding a small record does.
package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

// resolution is how often the time is read while somebody asks for it.
const resolution = time.Millisecond

// Clock remembers the time and looks again every millisecond, as long as it is
// asked: one that nobody uses stops by itself and wakes nothing. Its zero
// value is ready; it is safe for concurrent use.
type Clock struct {
	// now is in milliseconds since the epoch; 0 while the clock is stopped.
	now atomic.Int64
	// used tells the next tick that somebody asked since the last one.
	used atomic.Bool

	mu struct {
		sync.Mutex
		timer   *time.Timer
		running bool
	}
}

// UnixMilli returns the time in milliseconds since the epoch, about two
// milliseconds late at the most on a machine that is not overloaded.
func (c *Clock) UnixMilli() int64 {
	now := c.now.Load()
	if now == 0 {
		return c.start()
	}
	// Looking before writing keeps the cache line shared between the cores.
	if !c.used.Load() {
		c.used.Store(true)
	}
	return now
}

func (c *Clock) start() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().UnixMilli()
	c.now.Store(now)
	if c.mu.running {
		return now
	}
	c.mu.running = true
	if c.mu.timer == nil {
		c.mu.timer = time.AfterFunc(resolution, c.tick)
	} else {
		c.mu.timer.Reset(resolution)
	}
	return now
}

// tick sets the time anew, or stops the clock when nobody asked for a whole
// tick. Whoever read the old time just before the stop has one that is at most
// a tick older than the others'.
func (c *Clock) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.used.Swap(false) {
		c.now.Store(0)
		c.mu.running = false
		return
	}
	c.now.Store(time.Now().UnixMilli())
	c.mu.timer.Reset(resolution)
}
