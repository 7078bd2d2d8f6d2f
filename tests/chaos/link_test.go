package chaos

import (
	"net"
	"sync"
	"testing"
)

// cut is what a link does.
type cut int

const (
	whole cut = iota
	// frozen: nothing passes, and nobody is told, as when cables are pulled.
	// What was under way arrives when the link is whole again.
	frozen
	// refused: open connections break, and new ones are refused.
	refused
)

func (c cut) String() string { return [...]string{"whole", "frozen", "refused"}[c] }

// link is a network between some processes and one listener: a TCP proxy.
type link struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu struct {
		sync.Mutex
		state cut
		// changed is closed by the next change.
		changed chan struct{}
		closed  bool
		conns   map[net.Conn]bool
	}
}

// newLink makes a link to an address, until the end of the test.
func newLink(t *testing.T, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{target: target, listener: listener}
	l.mu.changed = make(chan struct{})
	l.mu.conns = map[net.Conn]bool{}
	l.wg.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

func (l *link) addr() string { return l.listener.Addr().String() }

// set cuts the link, or mends it.
func (l *link) set(state cut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.state = state
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
	if state == refused {
		l.breakLocked()
	}
}

func (l *link) breakLocked() {
	for c := range l.mu.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset rather than an orderly end
		}
		_ = c.Close() // whoever reads it ends
	}
}

func (l *link) close() {
	l.mu.Lock()
	l.mu.closed = true
	l.breakLocked()
	l.mu.Unlock()
	l.set(whole) // wakes who waits in a frozen one
	_ = l.listener.Close()
	l.wg.Wait()
}

func (l *link) accept() {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() { l.carry(c) })
	}
}

// carry carries one connection to its end.
func (l *link) carry(from net.Conn) {
	if !l.add(from) {
		return
	}
	defer l.remove(from)
	l.pass()
	to, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	if !l.add(to) {
		return
	}
	defer l.remove(to)
	var back sync.WaitGroup
	back.Go(func() { l.copy(from, to) })
	l.copy(to, from)
	back.Wait()
}

// copy carries what comes from one side to the other, and ends both when one of
// them ends.
func (l *link) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		l.pass()
		if err != nil {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// pass waits while the link is frozen.
func (l *link) pass() {
	for {
		l.mu.Lock()
		wait := l.mu.state == frozen && !l.mu.closed
		changed := l.mu.changed
		l.mu.Unlock()
		if !wait {
			return
		}
		<-changed
	}
}

// add keeps a connection, unless there may be none.
func (l *link) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.state == refused || l.mu.closed {
		_ = c.Close() // it has carried nothing
		return false
	}
	l.mu.conns[c] = true
	return true
}

func (l *link) remove(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.conns, c)
	_ = c.Close() // a second time, mostly
}
