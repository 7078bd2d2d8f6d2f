package s3

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
)

// When S3 asks to slow down, an agent does, however many calls wait, and gets
// faster again once S3 takes what it sends. It never gives up for good.
func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers, phase = 16, 30 * time.Second
		p := newPolicy(putLimits)
		begin := time.Now()
		var mu sync.Mutex
		var free, slow, later int
		var wg sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 3*phase)
		defer cancel()
		for range callers {
			wg.Go(func() {
				for ctx.Err() == nil {
					_ = p.do(ctx, 0, func(context.Context) error {
						time.Sleep(50 * time.Millisecond)
						mu.Lock()
						defer mu.Unlock()
						switch since := time.Since(begin); {
						case since < phase:
							free++
						case since < 2*phase:
							slow++
							return &smithy.GenericAPIError{Code: "SlowDown"}
						case since > 5*phase/2:
							later++
						}
						return nil
					})
				}
			})
		}
		wg.Wait()
		t.Logf("requests in %s: %d, throttled %d; in the last %s: %d", phase, free, slow, phase/2, later)
		if slow > free/10 || slow < 5 {
			t.Errorf("%d requests while S3 asked to slow down, %d before", slow, free)
		}
		if later < free/4 {
			t.Errorf("%d requests in half the time after it, %d before", later, free)
		}
	})
}

// While everything fails, most calls end with their first attempt: retries
// would multiply the load on what is broken.
func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(getLimits)
		const calls = 1000
		attempts := 0
		for range calls {
			_ = p.do(t.Context(), 0, func(context.Context) error {
				attempts++
				return &brokenError{errors.New("broken")}
			})
		}
		if attempts < calls || attempts > calls+calls/10 {
			t.Errorf("%d attempts of %d calls", attempts, calls)
		}
		// It heals with what succeeds.
		for range calls {
			_ = p.do(t.Context(), 0, func(context.Context) error { return nil })
		}
		attempts = 0
		_ = p.do(t.Context(), 0, func(context.Context) error {
			attempts++
			return &brokenError{errors.New("broken")}
		})
		if attempts != getLimits.attempts {
			t.Errorf("%d attempts after it has healed, want %d", attempts, getLimits.attempts)
		}
	})
}

// A call that waits for its turn, or for its next attempt, ends with its
// context.
func TestWaitsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(putLimits)
		for range 5 { // the first ones set the pace
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			begin := time.Now()
			err := p.do(ctx, 0, func(context.Context) error { return &smithy.GenericAPIError{Code: "SlowDown"} })
			if took := time.Since(begin); err == nil || took > 100*time.Millisecond {
				t.Errorf("it ended after %s with %v", took, err)
			}
			cancel()
		}
	})
}

// An attempt has more time the more it moves; running out of it is no end of
// the call.
func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(putLimits)
		var took []time.Duration
		err := p.do(t.Context(), 4<<20, func(ctx context.Context) error {
			begin := time.Now()
			<-ctx.Done()
			took = append(took, time.Since(begin))
			return ctx.Err()
		})
		if errors.Is(err, context.DeadlineExceeded) || err == nil {
			t.Errorf("got %v, which would look like the caller's own deadline", err)
		}
		if len(took) != 3 || took[0] != 13*time.Second {
			t.Errorf("attempts took %v, want 13 s three times", took)
		}
	})
}
