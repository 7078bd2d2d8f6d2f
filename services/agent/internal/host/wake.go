package host

// WakeOthers lets the agents of the other sessions look into the store now: a
// topic was deleted or changed.
func (h *Host) WakeOthers() { h.wakeOthers() }
