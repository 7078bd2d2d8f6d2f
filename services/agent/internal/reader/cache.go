package reader

import (
	"container/list"
	"sync"
)

// ranges is a cache of what was read from the store, bounded by bytes. What is
// read for the first time is on probation, in half of the room; what is asked
// for again moves to the other half, and back when that overflows. So whoever
// reads a log from its beginning, once, drives out nothing that others share.
type ranges struct {
	limit int64 // of each half

	mu    sync.Mutex
	byID  map[rangeID]*list.Element
	once  half
	again half
	ahead int64 // bytes of what nobody has asked for yet
}

// half is a list of cached, the most recently used first, or added.
type half struct {
	order list.List
	bytes int64
}

type cached struct {
	id    rangeID
	b     []byte
	asked bool // somebody has read it
	again bool // it is in that half
}

func newRanges(limit int64) *ranges {
	return &ranges{limit: limit / 2, byID: map[rangeID]*list.Element{}}
}

// get returns a range. Asking for one that was asked for before, other than to
// go on with it, ends its probation. Asking for the first time does not make it
// younger: it would outlive its successors, which are still to be asked for.
func (c *ranges) get(id rangeID, goesOn bool) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		return nil
	}
	v := valueOf(e)
	if !v.asked {
		v.asked = true
		c.ahead -= int64(len(v.b))
		e.Value = v
		return v.b
	}
	c.removeLocked(e)
	v.again = v.again || !goesOn
	c.insertLocked(v)
	for c.again.bytes > c.limit {
		last := valueOf(c.again.order.Back())
		c.removeLocked(c.again.order.Back())
		last.again = false
		c.insertLocked(last)
	}
	c.shrinkLocked()
	return v.b
}

// put adds what was read; asked tells whether somebody waited for it.
func (c *ranges) put(id rangeID, b []byte, asked bool) {
	if int64(len(b)) > c.limit {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[id] == nil {
		c.insertLocked(cached{id: id, b: b, asked: asked})
		c.shrinkLocked()
	}
}

func (c *ranges) has(id rangeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id] != nil
}

func (c *ranges) wasAsked(id rangeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	return e != nil && valueOf(e).asked
}

// aheadRoom is how much may be read ahead: what nobody asked for yet takes three
// quarters of what is on probation at most, so that it is still there when its
// reader comes.
func (c *ranges) aheadRoom() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limit - c.limit/4 - c.ahead
}

func (c *ranges) remove(id rangeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[id]; e != nil {
		c.removeLocked(e)
	}
}

func (c *ranges) insertLocked(v cached) {
	h := c.halfOf(v)
	c.byID[v.id] = h.order.PushFront(v)
	h.bytes += int64(len(v.b))
	if !v.asked {
		c.ahead += int64(len(v.b))
	}
}

func (c *ranges) removeLocked(e *list.Element) {
	v := valueOf(e)
	h := c.halfOf(v)
	h.order.Remove(e)
	h.bytes -= int64(len(v.b))
	if !v.asked {
		c.ahead -= int64(len(v.b))
	}
	delete(c.byID, v.id)
}

// shrinkLocked drops what has been on probation for the longest.
func (c *ranges) shrinkLocked() {
	for c.once.bytes > c.limit {
		c.removeLocked(c.once.order.Back())
	}
}

func (c *ranges) halfOf(v cached) *half {
	if v.again {
		return &c.again
	}
	return &c.once
}

func valueOf(e *list.Element) cached { return e.Value.(cached) } //nolint:forcetypeassert // only insertLocked fills the lists
