package s3

import (
	"context"
	"sync"
	"time"
)

const (
	// minRate is how many requests a second S3 always gets to see, so that it
	// can say when it takes more again: far below the 3500 writes a second that
	// it takes under any prefix.
	minRate = 5
	// slower and faster are what a rate is multiplied by, when S3 asked to slow
	// down and when it took a request.
	slower, faster = 0.7, 1.02
	// settle is how long it takes until answers tell of a new rate.
	settle = 500 * time.Millisecond
	// calm ends the limit.
	calm = 30 * time.Second
)

// pace spreads requests out in time after S3 has asked to slow down. Before,
// and once it has not asked for a while, requests pass as they come.
type pace struct {
	mu struct {
		sync.Mutex
		rate    float64   // requests a second
		slowed  time.Time // when S3 last asked to slow down; zero: never
		next    time.Time // when the next request may go
		second  time.Time // begin of the second that is counted
		count   int       // requests in it
		counted float64   // requests in the one before
	}
}

// wait returns when a request may go, or when ctx ends.
func (p *pace) wait(ctx context.Context) error {
	delay := p.reserve(time.Now())
	if delay <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(delay):
		return nil
	}
}

func (p *pace) reserve(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if passed := now.Sub(p.mu.second); passed >= time.Second {
		p.mu.counted = float64(p.mu.count) / passed.Seconds()
		p.mu.second, p.mu.count = now, 0
	}
	p.mu.count++
	if !p.limited(now) {
		return 0
	}
	if p.mu.next.Before(now) {
		p.mu.next = now
	}
	delay := p.mu.next.Sub(now)
	p.mu.next = p.mu.next.Add(time.Duration(float64(time.Second) / p.mu.rate))
	return delay
}

// limited is called with the lock held.
func (p *pace) limited(now time.Time) bool {
	return !p.mu.slowed.IsZero() && now.Sub(p.mu.slowed) < calm
}

// answered takes note of an answer.
func (p *pace) answered(throttled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case throttled && !p.limited(now):
		p.mu.rate = max(minRate, slower*max(p.mu.counted, float64(p.mu.count)))
		p.mu.slowed = now
	case throttled && now.Sub(p.mu.slowed) >= settle:
		p.mu.rate = max(minRate, slower*p.mu.rate)
		p.mu.slowed = now
	case !throttled:
		p.mu.rate *= faster
	}
}
