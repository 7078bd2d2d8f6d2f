package faults

import (
	"context"
	"time"
)

// effect is what an operation does to the store behind.
type effect func(ctx context.Context) error

// write carries out an operation that changes something. copied returns the
// same effect on copies of the arguments: one that outlives the call, or whose
// result the caller must not see, must not touch what is the caller's.
func (i *Injector) write(ctx context.Context, op Op, latency Latency, run effect, copied func() effect) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f := i.begin(op, latency)
	if left, cut := sleep(ctx, f.before()); cut {
		// The request is under way: that its caller gave up does not stop it.
		if f.lands && !f.is(ErrBefore) {
			i.later(ctx, left, copied())
		}
		return ctx.Err()
	}
	switch {
	case f.is(ErrBefore):
		sleep(ctx, f.rule.Pause)
		return f.err()
	case f.is(ErrAfter):
		_ = copied()(ctx) // the reply is lost
		sleep(ctx, f.rule.Pause)
		return f.err()
	case f.is(Late):
		i.later(ctx, f.rule.Pause, copied())
		return f.err()
	default:
		return run(ctx)
	}
}

// read lets an operation that changes nothing through when it returns nil.
func (i *Injector) read(ctx context.Context, op Op, latency Latency) (f fate, err error) {
	if err := ctx.Err(); err != nil {
		return f, err
	}
	f = i.begin(op, latency)
	if _, cut := sleep(ctx, f.before()); cut {
		return f, ctx.Err()
	}
	if f.is(ErrBefore) {
		sleep(ctx, f.rule.Pause)
		return f, f.err()
	}
	if f.is(Late) {
		return f, f.err()
	}
	return f, nil
}

// before is how long the operation takes to reach the store.
func (f fate) before() time.Duration {
	if f.is(Pause) {
		return f.latency + f.rule.Pause
	}
	return f.latency
}

// later lets an effect happen after d, whatever becomes of the caller. What it
// returns reaches nobody.
func (i *Injector) later(ctx context.Context, d time.Duration, late effect) {
	i.countLate(1)
	go func() { // Wait and Close wait for it
		defer i.countLate(-1)
		time.Sleep(d)
		_ = late(context.WithoutCancel(ctx))
	}()
}

func (i *Injector) countLate(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.late += n
	if i.mu.late == 0 {
		i.idle.Broadcast()
	}
}

// sleep waits for d, or until ctx ends; then it returns how much of d is left,
// which may be nothing. A deadline at the very moment at which d ends, as
// happens in a bubble, cuts it: two runs must not differ in that.
func sleep(ctx context.Context, d time.Duration) (left time.Duration, cut bool) {
	if d <= 0 {
		return 0, false
	}
	start := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	elapsed := timer.C
	if deadline, ok := ctx.Deadline(); ok && deadline.Sub(start) <= d {
		elapsed = nil
	}
	select {
	case <-elapsed:
		return 0, false
	case <-ctx.Done():
		return max(0, d-time.Since(start)), true
	}
}
