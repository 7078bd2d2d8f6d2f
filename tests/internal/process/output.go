package process

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// keptOutput bounds what is kept of a process's output, in bytes.
const keptOutput = 1 << 20

// output keeps the last that was written to it, and wakes who waits for words.
// It is safe for concurrent use.
type output struct {
	mu struct {
		sync.Mutex
		b       []byte
		written chan struct{} // closed by the next write
	}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.b = append(o.mu.b, p...)
	if over := len(o.mu.b) - keptOutput; over > 0 {
		o.mu.b = slices.Delete(o.mu.b, 0, over)
	}
	if o.mu.written != nil {
		close(o.mu.written)
		o.mu.written = nil
	}
	return len(p), nil
}

// find tells whether text was written, and else what the next write closes.
func (o *output) find(text string) (found bool, next <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if bytes.Contains(o.mu.b, []byte(text)) {
		return true, nil
	}
	if o.mu.written == nil {
		o.mu.written = make(chan struct{})
	}
	return false, o.mu.written
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(string(o.mu.b))
}
