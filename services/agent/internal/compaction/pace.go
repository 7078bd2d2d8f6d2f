package compaction

import (
	"context"
	"sync"
	"time"
)

// pace spreads reads over time. It is safe for concurrent use.
type pace struct {
	mu     sync.Mutex
	free   time.Time // when the next read may begin
	behind bool
}

// hurry lifts the limit while too much waits.
func (p *pace) hurry(behind bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behind = behind
}

// wait returns when so many bytes may be read at so many a second; 0 is no limit.
func (p *pace) wait(ctx context.Context, size, perSecond int64) error {
	p.mu.Lock()
	now := time.Now()
	begin := now
	if perSecond > 0 && !p.behind {
		if p.free.After(now) {
			begin = p.free
		}
		p.free = begin.Add(time.Duration(float64(size) / float64(perSecond) * float64(time.Second)))
	}
	p.mu.Unlock()
	if d := begin.Sub(now); d > 0 {
		return sleep(ctx, d)
	}
	return ctx.Err()
}
