package host

import (
	"context"
	"sync"
)

// tasks are goroutines that outlive what started them, and that Run waits for.
type tasks struct {
	mu     sync.Mutex
	ctx    context.Context
	closed bool
	group  sync.WaitGroup
}

// open lets tasks run under ctx.
func (t *tasks) open(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ctx = ctx
}

// start runs f, unless the host does not run, or starts nothing any more.
func (t *tasks) start(f func(ctx context.Context)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil || t.closed {
		return false
	}
	ctx := t.ctx
	t.group.Go(func() { f(ctx) })
	return true
}

// wait lets nothing more start and returns when all is done.
func (t *tasks) wait() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.group.Wait()
}
