package producer

// route is which link sends the partition's batches. mu guards it. The links in
// link and next count the partition as a user.
type route struct {
	link     *link
	next     *link // takes over as soon as nothing is under way
	queuedAt *link // in whose run queue the partition stands
	// resolving: nothing is sent until the topic's metadata was fetched anew.
	resolving bool
	moves     int // refusals for the owner's sake since the last success
	detached  bool
}

// reroute makes l the partition's link, at once or when nothing is under way
// on the present one, which nil stands for.
func (pt *partition) reroute(l *link) {
	pt.mu.Lock()
	pt.mu.resolving = false
	pt.turnLocked(l)
	pt.settleLocked()
	old := pt.mu.link
	pt.mu.Unlock()
	if l != nil && old != l {
		old.leave()
	}
}

// turnLocked sets which link takes over, if any. It was got for that.
func (pt *partition) turnLocked(l *link) {
	if pt.mu.next != nil {
		pt.p.unlink(pt.mu.next)
	}
	pt.mu.next = l
	if l != nil && pt.mu.detached {
		pt.p.unlink(l)
		pt.mu.next = nil
	}
}

// switchLocked makes the next link the present one. Nothing is in the air.
func (pt *partition) switchLocked() {
	if pt.mu.next != nil {
		pt.p.unlink(pt.mu.link)
		pt.mu.link, pt.mu.next = pt.mu.next, nil
		pt.owner.Store(pt.mu.link)
	}
}

// detach gives up the links of a partition that is idle and takes no more
// records.
func (pt *partition) detach() {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if !pt.mu.detached {
		pt.mu.detached = true
		pt.turnLocked(nil)
		pt.p.unlink(pt.mu.link)
	}
}

// detach gives up the links of a topic that is gone.
func (t *topic) detach() {
	for _, pt := range *t.partitions.Load() {
		pt.detach()
	}
}
