package sim

import "sync/atomic"

// valve holds back what passes through it while it is shut. Its zero value is
// open.
type valve struct {
	shut atomic.Pointer[chan struct{}] // closed when it opens
}

func (v *valve) close() {
	opens := make(chan struct{})
	v.shut.CompareAndSwap(nil, &opens)
}

func (v *valve) open() {
	if opens := v.shut.Swap(nil); opens != nil {
		close(*opens)
	}
}

// pass waits until the valve is open, or until done is closed; nil never is.
func (v *valve) pass(done <-chan struct{}) {
	for {
		opens := v.shut.Load()
		if opens == nil {
			return
		}
		select {
		case <-*opens:
		case <-done:
			return
		}
	}
}
